"""`logbroker serve`: the command line of the broker itself.

Kept light: what the broker needs is imported when it runs, so `--help` and a wrong option answer at once.
"""

from __future__ import annotations

import click


@click.command("serve", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--config",
    "file",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="A TOML file of settings; LOGBROKER_CONFIG names one too.",
)
@click.option(
    "--data-dir", metavar="DIR", help="Where records and metadata live (log.dirs and metadata.log.dir)."
)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    multiple=True,
    help="Where to listen (listeners); repeat it, with NAME://HOST:PORT, for several.",
)
@click.option("--set", "assignments", metavar="KEY=VALUE", multiple=True, help="Set one setting; repeatable.")
@click.option("--log-format", type=click.Choice(["text", "json"]), help="How log lines look (log.format).")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="The least important line written (log.level).",
)
def serve(
    *,
    file: str | None,
    data_dir: str | None,
    listen: tuple[str, ...],
    assignments: tuple[str, ...],
    log_format: str | None,
    log_level: str | None,
) -> None:
    """Run the broker until SIGTERM or Ctrl-C.

    Settings come from defaults, the file, LOGBROKER_... variables, --set, and last the options here; `logbroker config
    list` names them all. SIGHUP reads them again. Exits 0 when stopped, 1 when it failed, 2 for wrong settings.
    """
    from logbroker.base.errors import ConfigError
    from logbroker.config import loader
    from logbroker.config.sources import LoadedSettings
    from logbroker.daemons import runner

    flags = {"log.format": log_format, "log.level": log_level}

    def load() -> LoadedSettings:
        return loader.load(
            file=file,
            environment=loader.current_environment(),
            assignments=assignments,
            flags={name: text for name, text in flags.items() if text is not None},
            data_dir=data_dir,
            listen=listen,
        )

    try:
        loaded = load()
    except ConfigError as error:
        runner.report(str(error), log_format or "text")
        raise SystemExit(runner.WRONG_USAGE) from None
    raise SystemExit(runner.run(loaded, load))
