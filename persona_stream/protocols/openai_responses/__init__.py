"""OpenAI's Responses protocol, also known as Open Responses."""
