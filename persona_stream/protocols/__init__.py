"""Wire protocols: decoders of request bodies, encoders of events, whole responses. Pure: no I/O, no clock."""
