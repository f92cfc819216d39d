"""Echo state networks: reservoirs, readouts in closed form and online, and what they are made of."""
