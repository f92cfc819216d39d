"""Look inside recurrent networks: gradients through time, gates and states, reports."""

from fastrnn.inspect.report import Report, report
from fastrnn.inspect.trace import NextSteps, Trace, trace

__all__ = ["NextSteps", "Report", "Trace", "report", "trace"]
