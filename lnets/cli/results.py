"""Commands that answer from results: each parses, calls one function, and prints."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from lnets.cli.app import (
    DEFAULT_STORE,
    ColumnsOption,
    JsonOption,
    RowsOption,
    StoreOption,
    ValuesOption,
    WhereOption,
    all_hold,
    app,
    joined,
)
from lnets.cli.completion import sweeps as offer_sweeps
from lnets.cli.output import print_json, print_parts, print_rows, print_table, terminal_width

Test = Annotated[
    Literal["wilcoxon", "permutation"],
    typer.Option(help="By ranks, or by the values themselves."),
]


@app.command()
def table(
    sweeps: Annotated[
        list[str],
        typer.Argument(
            metavar="SWEEP",
            help="Names or ids in the store, or files.",
            autocompletion=offer_sweeps,
        ),
    ],
    store: StoreOption = DEFAULT_STORE,
    rows: RowsOption = None,
    columns: ColumnsOption = None,
    values: ValuesOption = None,
    where: WhereOption = None,
    kind: Annotated[
        Literal["wasserstein", "robustness", "speed", "pareto"] | None,
        typer.Option(help="A ready-made table."),
    ] = None,
    test: Test = "wilcoxon",
    format_: Annotated[
        Literal["terminal", "markdown", "latex", "csv", "json", "html"],
        typer.Option("--format", help="Of what is printed."),
    ] = "terminal",
    as_json: JsonOption = False,
) -> None:
    """Compare the configurations of sweeps: means and 95% intervals over seeds.

    Example: lnets-sweep table absolute_value --where "model.activation != 'relu'" --format latex
    """
    from lnets.results.store import Store
    from lnets.sweep.answers import table_of

    made = table_of(
        Store(store),
        sweeps,
        rows=joined(rows),
        columns=joined(columns),
        values=joined(values),
        where=all_hold(where),
        kind=kind,
        test=test,
    )
    title = ", ".join(dict.fromkeys(counts.name for counts in made.sweeps))
    print_table(made, title, "json" if as_json else format_)


@app.command()
def compare(
    sides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="A B",
            help="Sweeps, or how configuration keys begin.",
            autocompletion=offer_sweeps,
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="SQL", help="Trials where this holds are a side; repeatable."),
    ] = None,
    values: Annotated[
        list[str] | None, typer.Option(metavar="METRICS", help="Metrics, by commas; else all.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    test: Test = "wilcoxon",
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="Draw each seed: *.png or *.pdf."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two configurations, or two sweeps: what differs, and by how much.

    Example: lnets-sweep compare --where "model.activation = 'maxmin'" --where "optim.lr < 0.1"
    """
    from lnets.results.comparison_text import comparison_text
    from lnets.results.paper_plots import check_format, save_for_paper, seeds_figure
    from lnets.results.store import Store
    from lnets.sweep.answers import compare_of

    if out is not None:
        check_format(out)
    found = compare_of(Store(store), sides or [], where or [], values=joined(values), test=test)
    if as_json:
        print_json(found.to_json())
    else:
        print_parts(comparison_text(found, width=terminal_width()))
    if out is not None:
        typer.echo(f"wrote {save_for_paper(seeds_figure(found), out)}", err=True)


@app.command()
def diff(
    a: Annotated[
        str,
        typer.Argument(
            metavar="A", help="A sweep's name, id or file.", autocompletion=offer_sweeps
        ),
    ],
    b: Annotated[
        str,
        typer.Argument(
            metavar="B",
            help="Another; or both files of experiments.",
            autocompletion=offer_sweeps,
        ),
    ],
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Show the fields in which two specs differ, defaults filled in.

    Example: lnets-sweep diff sweeps/certified_l2.yaml certified_l2
    """
    from lnets.results.rendering import value_text
    from lnets.sweep.answers import diff_of

    found = diff_of(store, a, b)
    rows = [{"path": path, "a": left, "b": right} for path, (left, right) in found.items()]
    if as_json:
        print_json(rows)
    elif rows:
        print_rows([{name: value_text(v) for name, v in row.items()} for row in rows], False)
    else:
        typer.echo("no field differs", err=True)


@app.command()
def query(
    sql: Annotated[
        str, typer.Argument(help="One SELECT over trials, attempts, curves, sweeps, proposals.")
    ],
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Ask the store in SQL; configuration paths and metrics are columns.

    Example: lnets-sweep query 'SELECT "model.activation", max(tightness) FROM trials GROUP BY 1'
    """
    from lnets.results.query import run_query
    from lnets.results.store import Store

    names, found = run_query(Store(store), sql)
    rows = [dict(zip(names, row, strict=True)) for row in found]
    if rows or as_json:
        print_rows(rows, as_json)
    else:
        typer.echo("no rows", err=True)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to: *.parquet or *.csv.")],
    sql: Annotated[str, typer.Option(help="One SELECT.")] = "SELECT * FROM trials",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Write trials, with configuration paths and metrics as columns, into a file.

    Example: lnets-sweep export trials.parquet
    """
    from lnets.results.query import export as write
    from lnets.results.store import Store
    from lnets.specs.spec import many

    typer.echo(f"wrote {many(write(Store(store), file, sql), 'row')} into {file}", err=True)
