"""`warp completion`: the script that makes a shell complete warp's commands and options."""

import click

from warp_portal.cli import options
from warp_portal.cli.examples import epilog
from warp_portal.cli.main import COMPLETION_VARIABLE, cli
from warp_portal.cli.output import Output

_INSTALL = {
    "bash": 'eval "$(warp completion bash)"   # in ~/.bashrc',
    "zsh": 'eval "$(warp completion zsh)"   # in ~/.zshrc',
    "fish": "warp completion fish | source   # in ~/.config/fish/config.fish",
}


@click.command("completion", epilog=epilog("completion"))
@click.argument("shell", type=click.Choice(tuple(_INSTALL)))
@options.common
def command(output: Output, shell: str) -> int:
    """Print the completion script of SHELL.

    \b
      bash   eval "$(warp completion bash)"      in ~/.bashrc
      zsh    eval "$(warp completion zsh)"       in ~/.zshrc
      fish   warp completion fish | source       in ~/.config/fish/config.fish
    """  # noqa: D301  # click wants the character, not two
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(cli, {}, "warp", COMPLETION_VARIABLE).source()
    output.result(f"# {_INSTALL[shell]}\n{script}")
    output.record("completion", shell=shell, script=script)
    return 0
