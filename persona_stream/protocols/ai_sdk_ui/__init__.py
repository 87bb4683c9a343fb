"""The UI message stream protocol of the AI SDK (npm ``ai``), which ``useChat`` speaks."""
