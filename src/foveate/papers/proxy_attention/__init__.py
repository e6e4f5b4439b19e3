"""Proxy Attention: pictures that are answered wrong come back without what the network looked at."""
