"""The front door: ``kpitoolkit run``, ``check``, ``sign``, ``verify``, ``sample``. Messages to analysts, in English.

Exit status: 0 all fine; 1 something failed or was not uploaded, the rest stands; 2 refused before anything ran. Heavy
modules are imported by the command that needs them.
"""

import gc
import os
import signal
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import click

from kpitoolkit import __version__

REFUSED = 2
INTERRUPTED = 130
_INTERRUPTED = "Interrupted. What was published stands."


@contextmanager
def _one_message():
    """Show what a user can mend as one message, without a traceback."""
    from kpitoolkit.errors import ToolkitError, of_system

    before, main_thread = signal.getsignal(signal.SIGINT), threading.current_thread() is threading.main_thread()
    ours = main_thread and before is signal.default_int_handler
    try:
        if ours:
            signal.signal(signal.SIGINT, _interrupt)
        yield
    except ToolkitError as error:
        click.echo("\n".join([str(error), *getattr(error, "__notes__", ())]), err=True)
        sys.exit(REFUSED)
    except OSError as error:  # a full disk, a folder that may not be written
        click.echo(of_system(error), err=True)
        sys.exit(REFUSED)
    except KeyboardInterrupt as error:
        click.echo("\n".join([_INTERRUPTED, *getattr(error, "__notes__", ())]), err=True)
        sys.stderr.flush()
        os._exit(INTERRUPTED)  # kernels of this run notice and end by themselves
    finally:
        if ours:
            signal.signal(signal.SIGINT, before)


def _interrupt(number, frame):
    """Let the first Ctrl-C tidy up, which takes seconds where a bucket does not answer; a second one ends at once."""
    signal.signal(signal.SIGINT, _end)
    raise KeyboardInterrupt


def _end(number, frame):
    shown = "\x1b[?25h" if os.isatty(2) else ""  # the display of progress hides the cursor
    os.write(2, f"{shown}{_INTERRUPTED}\n".encode())
    os._exit(INTERRUPTED)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kpitoolkit")
def main():
    """Attribution, regression and KPI reconciliation for every business unit, every quarter."""
    gc.set_threshold(50_000, 20, 50)  # imports make objects that stay: looking through them is a tenth of a short run


@main.command()
@click.argument("case")
@click.option("--unit", "units", multiple=True, help="Only this unit ('group' for the group's page); may be repeated.")
@click.option("--notebook", "notebooks", multiple=True, help="Only this notebook; may be repeated.")
@click.option("--jobs", type=int, help="Units at the same time (default: one for each processor).")
@click.option("--language", metavar="it|en", help="Language of the pages (default: as the parameters say).")
@click.option("--force", is_flag=True, help="Make again what is up to date.")
@click.option("--output", help="Where results go: a folder, or s3://bucket/prefix (default: outputs/).")
@click.option("--scheduler", metavar="tcp://HOST:PORT", help="A Dask cluster that runs the units (default: here).")
@click.option("--time-limit", type=float, metavar="SECONDS", help="That a notebook may run (default: 3600).")
@click.option("--retries", type=int, help="Further attempts where a kernel fails, not its cells (default: 1).")
@click.option("--kernels", metavar="warm|cold", help="Forked from a server with the libraries, or started anew.")
@click.option("--dry-run", is_flag=True, help="Say what would run and why; run and write nothing.")
def run(case, units, notebooks, jobs, language, force, output, scheduler, dry_run, **limits):
    """Run the notebooks of CASE, a folder such as parameters/sample-2026Q3 or its bare name."""
    with _one_message():
        from kpitoolkit.batch.check import find_case

        _check_catalogues(find_case(case))
        from kpitoolkit.batch import remote
        from kpitoolkit.batch.closing import closing
        from kpitoolkit.batch.progress import shown
        from kpitoolkit.batch.runner import prepare, run_case

        if dry_run:
            from kpitoolkit.batch import dry_run as dry

            with remote.outputs(output, find_case(case), change=False) as (root, _):
                batch = prepare(find_case(case), units, notebooks, language, force, root)
                click.echo("\n".join(dry.said(dry.explain(batch))))
            return

        began = time.monotonic()
        with shown(jobs) as tell:
            stated = {name: limit for name, limit in limits.items() if limit is not None} | {"scheduler": scheduler}
            report = run_case(find_case(case), units, notebooks, jobs, language, force, output, tell=tell, **stated)
        click.echo(closing(report, time.monotonic() - began))
        sys.exit(report.exit_status)


@main.command()
@click.argument("case")
@click.option("--unit", "units", multiple=True, help="Only this unit; may be repeated.")
@click.option(
    "--write-merged",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the merged parameters of one unit, as papermill -f takes them.",
)
def check(case, units, write_merged):
    """Read and check the parameters and the data of CASE; run nothing."""
    with _one_message():
        from kpitoolkit import parameters
        from kpitoolkit.batch.check import check_names, find_case, write_merged_parameters
        from kpitoolkit.batch.examine import examine
        from kpitoolkit.errors import ToolkitError

        _check_catalogues(find_case(case))
        read = parameters.read_case(find_case(case))
        check_names("unit", units, read.units)
        wanted = units or tuple(read.units)
        if write_merged and len(wanted) != 1:
            raise ToolkitError(f"--write-merged takes one unit: add --unit, one of {', '.join(read.units)}")
        faulty = 0
        for unit in wanted:
            faults, notes = examine(read, read.units[unit])
            faulty += bool(faults)
            click.echo(
                "\n".join(
                    [
                        f"{unit}: {_count(len(faults), 'fault')}" if faults else f"{unit}: fine",
                        *(f"  - {fault}" for fault in faults),
                        *(f"  note: {note}" for note in notes),
                    ]
                ),
                err=bool(faults),
            )
        if write_merged and not faulty:
            write_merged_parameters(read, read.units[wanted[0]], write_merged)
            click.echo(f"Written: {write_merged}")
        if faulty:
            sys.exit(REFUSED)


@main.command("new-quarter")
@click.argument("case")
@click.argument("quarter")
@click.option("--folder", type=click.Path(path_type=Path), help="The new case's folder (default: named as the last).")
@click.option("--force", is_flag=True, help="Even where the quarter is not the next one.")
def new_quarter(case, quarter, folder, force):
    """Make the case of QUARTER, such as 2026Q4, from CASE, the last one: parameters/sample-2026Q3."""
    with _one_message():
        from kpitoolkit.batch.closing import short
        from kpitoolkit.batch.new_quarter import new_quarter as make

        made = make(case, quarter, folder, force)
        place = short(made.folder)
        lines = [f"{place}: made from {made.last}.", "Changed:", *(f"  - {change}" for change in made.changed)]
        lines += ["To do:", *(f"  - {left}" for left in made.to_do)] if made.to_do else []
        click.echo("\n".join([*lines, f"Then: kpitoolkit check {place}"]))


@main.command()
@click.argument("outputs")
@click.option("--role", required=True, help="preparer (or analyst), or one who approves: cfo, or as 'approvers' says.")
@click.option("--name", required=True, help="Of the person who signs.")
@click.option("--unit", "units", multiple=True, help="Only this unit ('group' for the group); may be repeated.")
@click.option("--key", type=click.Path(path_type=Path), help="The person's own SSH key.")
@click.option("--parameters", "folder", type=click.Path(path_type=Path), help="The case's folder, where it has moved.")
def sign(outputs, role, name, units, key, folder):
    """Sign what stands in OUTPUTS, a folder such as outputs/sample-2026Q3, or say why it cannot be signed."""
    with _one_message():
        from kpitoolkit.batch import remote
        from kpitoolkit.batch.signoff import sign as sign_off

        with remote.case_outputs(outputs, change=True) as (home, publish):
            entry = sign_off(home, role, name, units, key, folder)
            uploaded = publish()
        how = f"with the key {entry.fingerprint}" if entry.fingerprint else "name as stated, without a key"
        click.echo(f"Signed by {entry.name} ({entry.role}), {how}: {', '.join(entry.units)}")
        for unit, statement in entry.units.items():
            if statement.not_examined:
                click.echo(f"  {unit}: not examined, so not tested: {', '.join(statement.not_examined)}")
        click.echo(f"Entry {entry.number} of signoff.jsonl, {entry.hash}" + (f"\n{uploaded}" if uploaded else ""))


@main.command()
@click.argument("outputs")
@click.option("--parameters", "folder", type=click.Path(path_type=Path), help="The case's folder, where it has moved.")
def verify(outputs, folder):
    """Work out again every hash, signature and sum of OUTPUTS; change nothing, say what differs."""
    with _one_message():
        from kpitoolkit.batch import remote
        from kpitoolkit.batch.verify import verify as work_out

        with remote.case_outputs(outputs, change=False) as (home, _):
            found = work_out(home, folder)
        click.echo("\n".join(found.said))
        sys.exit(found.exit_status)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--scale", type=float, default=1.0, show_default=True, help="Multiplies users, orders and money.")
@click.option("--seed", type=int, default=None, help="Another seed makes another company.")
@click.option("--tampered", is_flag=True, help="Falsify a few postings of the ledger, which the checks must find.")
def sample(folder, scale, seed, tampered):
    """Write the sample company into FOLDER, as an analyst would receive it, with the truth beside it."""
    with _one_message():
        from kpitoolkit.sample import write

        write(folder, **({} if seed is None else {"seed": seed}), scale=scale, tampered=tampered)
        click.echo(f"The sample company is in {folder}; what is true by construction, in {folder / 'truth'}")


def _check_catalogues(folder: Path) -> None:
    """Read every catalogue of KPIs that a case names: a fault in it concerns all units, so nothing is run."""
    from kpitoolkit import parameters
    from kpitoolkit.errors import Faults, ToolkitError

    case, faults = parameters.read_case(folder), []
    named = {stated.catalogue for stated in (*case.units.values(), case.group)}
    for name in sorted(named):
        path = parameters.catalogue_path(name, case.name, str(case.folder))
        if not path.is_file() and name == parameters.Parameters.model_fields["catalogue"].default:
            continue  # a project of one's own notebooks may do without
        from kpitoolkit.reconciliation import catalogue

        try:
            catalogue.read(path)
        except Faults as error:
            faults += [f"{error.where}: {fault}" for fault in error.faults]
        except ToolkitError as error:
            faults.append(str(error))
    if faults:
        raise Faults("catalogue of KPIs", faults)


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
