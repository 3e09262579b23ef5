"""Commands: arguments, prompts, exit codes. The only package that prints."""
