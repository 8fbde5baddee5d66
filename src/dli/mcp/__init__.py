"""An MCP server: what an assistant may see and do of the datasets, with the rights of a person's token."""
