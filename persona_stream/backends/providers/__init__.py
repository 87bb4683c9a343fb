"""HTTP clients of LLM providers: requests, streams, retries and errors."""
