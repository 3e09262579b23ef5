"""`provisioner completion`: the script that a shell sources."""

import click


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    bash: eval "$(provisioner completion bash)"    zsh: the same    fish: provisioner completion fish | source
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"there is no completion for {shell}", ctx)
    root = ctx.find_root()
    click.echo(found(root.command, {}, "provisioner", "_PROVISIONER_COMPLETE").source())
