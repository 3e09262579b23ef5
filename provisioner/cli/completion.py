"""`provisioner completion`: the script that a shell sources, and the completion of PowerShell, which click has not."""

import os
from typing import ClassVar

import click
from click.shell_completion import CompletionItem, ShellComplete, add_completion_class, get_completion_class

COMPLETE = "_PROVISIONER_COMPLETE"
"""The variable by which a shell's script asks the program for completions."""

_POWERSHELL = """\
Register-ArgumentCompleter -Native -CommandName %(prog_name)s -ScriptBlock {
    param($word, $command, $position)
    $env:COMP_WORDS = ($command.CommandElements | ForEach-Object { $_.ToString() }) -join "`n"
    $env:COMP_CWORD = $word
    $env:%(complete_var)s = "powershell_complete"
    try {
        %(prog_name)s | ForEach-Object {
            $value, $help = $_ -split "`t", 2
            [System.Management.Automation.CompletionResult]::new($value, $value, "ParameterValue", $help)
        }
    } finally {
        $env:COMP_WORDS = $env:COMP_CWORD = $env:%(complete_var)s = $null
    }
}
"""


@add_completion_class
class PowerShellComplete(ShellComplete):
    """PowerShell's words, one a line; it quotes what needs it, and names files itself where nothing is answered.

    learn.microsoft.com, "Register-ArgumentCompleter" (-Native), "CompletionResult" (a tool tip is never empty).
    """

    name: ClassVar[str] = "powershell"
    source_template: ClassVar[str] = _POWERSHELL

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one that is completed, and that. PowerShell deletes a variable that becomes empty."""
        words = [word.strip("'\"") for word in os.environ.get("COMP_WORDS", "").split("\n")]
        incomplete = os.environ.get("COMP_CWORD", "").strip("'\"")
        before = words[1:]
        if incomplete and before and before[-1] == incomplete:
            before.pop()
        return before, incomplete

    def format_completion(self, item: CompletionItem) -> str:
        """A value, a tab and its tool tip."""
        return f"{item.value}\t{' '.join((item.help or str(item.value)).split())}"

    def complete(self) -> str:
        """What is not a file or folder: those are PowerShell's to complete."""
        found = self.get_completions(*self.get_completion_args())
        return "\n".join(self.format_completion(item) for item in found if item.type == "plain")


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish", "powershell"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    bash: eval "$(provisioner completion bash)"    zsh: the same    fish: provisioner completion fish | source

    PowerShell: provisioner completion powershell | Out-String | Invoke-Expression
    """
    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"there is no completion for {shell}", ctx)
    root = ctx.find_root()
    click.echo(found(root.command, {}, "provisioner", COMPLETE).source())
