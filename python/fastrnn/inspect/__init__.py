"""Look inside recurrent networks: gradients through time, gates and states, reports."""

__all__: list[str] = []
