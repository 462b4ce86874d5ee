"""The end-to-end tests of the filter for Envoy that are not for nginx, each with its reason."""

DIFFERENCES = {}
