"""What a CI runner obeys in the output of a program, wherever it comes from.

A command in the middle of a line: `##[group]`, `##vso[task.setvariable]` (actions/runner, ActionCommand.TryParse;
learn.microsoft.com, Azure Pipelines, "Logging commands"). One at the beginning of a line: `::error::` (docs.github.com,
"Workflow commands for GitHub Actions").
"""

import re

COMMAND = re.compile(r"##(?=(?:vso)?\[)")
LINE_COMMAND = re.compile(r"^(\s*)::", re.MULTILINE)


def commands_in(text: str) -> bool:
    """Whether a CI runner that reads the text would find a command in it."""
    return bool(COMMAND.search(text) or LINE_COMMAND.search(text))
