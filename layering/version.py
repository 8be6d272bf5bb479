"""The version of layer, recorded with every event."""

VERSION = "0.1.0"
