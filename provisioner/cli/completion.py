"""`provisioner completion`: the script that a shell sources.

click has no completion for PowerShell. That of bash does not complete what follows an @ and does not quote spaces, that
of fish cuts a description at its first comma, and in zsh and fish --name=value loses its name: those are ours too.
"""

import os
import re
from typing import ClassVar

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

COMPLETE = "_PROVISIONER_COMPLETE"
"""The variable by which a shell's script asks the program for completions."""

_BASH = r"""
%(complete_func)s() {
    local completion value
    COMPREPLY=()
    while IFS= read -r completion; do
        case "$completion" in
            dir,*) compopt -o dirnames ;;
            file,*) compopt -o default ;;
            plain,*)
                value="${completion#plain,}"
                [[ "${COMP_WORDS[COMP_CWORD]}" == [\"\']* ]] || printf -v value '%%q' "$value"
                COMPREPLY+=("$value")
                ;;
        esac
    done < <(env COMP_WORDS="${COMP_LINE:0:COMP_POINT}" COMP_CWORD="$2" \
        %(complete_var)s=bash_complete "$1")
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

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


class _Whole(ShellComplete):
    """Of --name=value, click answers the value alone; the shells replace the whole word."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """The completions, with the name of the option in front."""
        found = super().get_completions(args, incomplete)
        name, equals, _ = incomplete.partition("=")
        if not equals or not name.startswith("--"):
            return found
        return [CompletionItem(f"{name}={i.value}", i.type, i.help) if i.type == "plain" else i for i in found]


@add_completion_class
class Zsh(_Whole, ZshComplete):
    """As click's."""


@add_completion_class
class Bash(_Whole, BashComplete):
    """bash breaks a word at @, = and : (COMP_WORDBREAKS) and replaces only what follows the last of them, or an @ too.

    gnu.org, "Bash Reference Manual", "Programmable Completion" and "Bash Variables".
    """

    source_template: ClassVar[str] = _BASH
    incomplete = ""
    kept = 0

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one that is completed, and that; of it, bash keeps the first `kept` characters."""
        line, replaced = os.environ.get("COMP_WORDS", ""), os.environ.get("COMP_CWORD", "")
        words = split_arg_string(line)[1:]
        self.incomplete = words.pop() if words and not re.search(r"(?<!\\)\s$", line) else ""
        known = (text for text in (replaced, "".join(split_arg_string(replaced))) if self.incomplete.endswith(text))
        self.kept = len(self.incomplete) - len(next(known, self.incomplete))
        return words, self.incomplete

    def format_completion(self, item: CompletionItem) -> str:
        """The kind and the value, less what bash keeps of the word."""
        value = str(item.value)
        return f"{item.type},{value[self.kept :] if value.startswith(self.incomplete) else value}"


@add_completion_class
class Fish(_Whole, FishComplete):
    """A description may hold commas."""

    source_template: ClassVar[str] = FishComplete.source_template.replace('split ","', 'split --max 1 ","')


@add_completion_class
class PowerShellComplete(_Whole):
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
