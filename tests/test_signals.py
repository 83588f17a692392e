"""A process that is asked to end does so in time, cleans up, and says how to go on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from forked import Forked

from scadv_tf import signals

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow

STOPPED = r"""
import pathlib, sys, time
from scadv_tf import console, signals
from scadv_tf.folders import one_run, scratch_folder

signals.PATIENCE = 1.0

def in_python():
    with scratch_folder(pathlib.Path()):
        try:
            print("ready", flush=True)
            time.sleep(60)
        except KeyboardInterrupt as stop:
            stop.add_note("Go on there.")
            raise

def deaf():
    with scratch_folder(pathlib.Path()), one_run(pathlib.Path()):
        while True:
            try:
                print("ready", flush=True)
                time.sleep(60)
            except KeyboardInterrupt:
                pass  # as native code that does not come to its end

class Dropping:
    def __del__(self):
        print("ready", flush=True)
        time.sleep(60)

def in_deletion():  # where Python drops what is raised
    with scratch_folder(pathlib.Path()):
        Dropping()
        time.sleep(60)

def in_tensorflow():  # whose native code does not bear it
    work = {"__name__": "tensorflow.python.eager.execute"}
    code = "print('ready', flush=True); time.sleep(1); return 'whole'"
    exec(f"import time\ndef quick_execute(): {code}", work)
    signals.PATIENCE = 10.0
    print(work["quick_execute"](), flush=True)
    time.sleep(60)

def in_steps():  # none of which leaves TensorFlow for long
    work = {"__name__": "keras.src.trainers", "due": signals.due}
    exec("import time\ndef fit():\n while True: time.sleep(0.001); due()", work)
    print("ready", flush=True)
    work["fit"]()

def in_cleaning():
    signals.PATIENCE = 10.0
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        time.sleep(1)
        print("cleaned", flush=True)

def in_native_code():  # which makes an error of its own of what its callbacks raise
    with scratch_folder(pathlib.Path()):
        try:
            print("ready", flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            raise SystemError("returned a result with an exception set")

signals.answer()  # as a program before this one, in the same process
console.run_app(globals()[sys.argv.pop()])
"""


# In the background of a shell Ctrl-C would be ignored, under nohup a lost terminal. By the program
# itself: Python of ours between fork and exec would meet the threads that gRPC has in this process.
HEEDS = "import signal\nfor n in (signal.SIGINT, signal.SIGHUP): signal.signal(n, {})\n"
DEFAULT = HEEDS.format("(signal.default_int_handler, signal.SIG_DFL)[n == signal.SIGHUP]")
COMPARE = "from scadv_tf import compare\ncompare.start()"


def started(folder, code: str, *words, before: str = DEFAULT, **more) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", before + code, *map(str, words)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        **more,
    )


def said_until(process, text: str) -> str:
    said = ""
    while text not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
    return said


def ended(folder, way: str, number=signal.SIGTERM) -> tuple[int, str]:
    """Exit code, and what a program says that gets a signal where it stops that way."""
    process = started(folder, STOPPED, way)
    said_until(process, "ready")
    process.send_signal(number)
    said, _ = process.communicate(timeout=30)
    return process.returncode, said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_program_with_its_number_and_a_word(tmp_path, number):
    said = f"stopped by {signal.Signals(number).name}\nGo on there.\n"
    assert ended(tmp_path, "in_python", number) == (128 + number, said)
    assert not list(tmp_path.iterdir())


def test_native_code_that_was_stopped_ends_the_program_likewise(tmp_path):
    assert ended(tmp_path, "in_native_code") == (143, "stopped by SIGTERM\n")
    assert not list(tmp_path.iterdir())


TAKEN = """
import json, os, signal, time
from scadv_tf import console
from scadv_tf.team import team_of

def alone():
    workers, task = {{"worker": ["localhost:{port}"]}}, {{"type": "worker", "index": 0}}
    os.environ["TF_CONFIG"] = json.dumps({{"cluster": workers, "task": task}})
    team_of("multi_worker")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(20)

console.run_app(alone)
"""


def test_a_worker_hears_signals_that_tensorflow_has_taken_over(tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    said, _ = (worker := started(tmp_path, TAKEN.format(port=port))).communicate(timeout=60)
    assert (worker.returncode, said.splitlines()[-1]) == (143, "stopped by SIGTERM")


def test_what_is_dropped_while_an_object_is_deleted_is_raised_anew(tmp_path):
    assert ended(tmp_path, "in_deletion") == (143, "stopped by SIGTERM\n")
    assert not list(tmp_path.iterdir())


def test_a_fragile_library_is_not_interrupted(tmp_path):
    assert ended(tmp_path, "in_tensorflow") == (143, "whole\nstopped by SIGTERM\n")


def test_between_the_steps_of_a_fragile_library_a_stop_is_heard(tmp_path):
    assert ended(tmp_path, "in_steps") == (143, "stopped by SIGTERM\n")


def test_nobody_is_interrupted_while_cleaning_up(tmp_path):
    """Though asked ten times a second."""
    assert ended(tmp_path, "in_cleaning") == (143, "cleaned\nstopped by SIGTERM\n")


def test_a_program_that_does_not_hear_is_ended_in_time(tmp_path):
    process = started(tmp_path, STOPPED, "deaf")
    said_until(process, "ready")
    start = time.monotonic()
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 143 and time.monotonic() - start < 10
    assert not list(tmp_path.iterdir())


def test_what_nohup_ignores_stays_ignored(tmp_path):
    process = started(tmp_path, STOPPED, "in_python", before=HEEDS.format("signal.SIG_IGN"))
    said_until(process, "ready")
    process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert process.poll() is None
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 143


@pytest.mark.parametrize("made", [None, SystemError])
def test_a_note_is_told_whatever_native_code_makes_of_a_signal(monkeypatch, made):
    stop = signals.Stopped(signal.SIGTERM)
    monkeypatch.setattr(signals, "_asked", [stop])
    error = stop if made is None else made("returned a result with an exception set")
    with pytest.raises(type(error)), signals.noted(lambda: "--resume goes on"):
        raise error
    assert stop.__notes__ == ["--resume goes on"]


def test_an_error_that_no_signal_made_is_told_nothing(monkeypatch):
    monkeypatch.setattr(signals, "_asked", [])
    with pytest.raises(SystemError) as caught, signals.noted(lambda: "never"):
        raise SystemError
    assert not hasattr(caught.value, "__notes__")


def training(folder, *flags) -> Forked:
    small = "--encoder_sizes=32,16", "--modality_adversarial=0"
    flags = ("--synthetic_cells=200", "--epochs=100", *small, *flags)
    words = ("--dataset=synthetic", "--output_dir=run", "--export_dir=served/model", *flags)
    return Forked(folder, *words)


@pytest.mark.parametrize(
    "stage, number", [("Reading", signal.SIGINT), ("Preprocessing", signal.SIGTERM)]
)
def test_before_an_epoch_is_done_nothing_is_kept_or_left(tmp_path, stage, number):
    process = training(tmp_path)
    said = said_until(process, stage)
    process.send_signal(number)
    said += process.communicate(timeout=60)[0]
    assert process.returncode == 128 + number, said
    assert "Traceback" not in said and f"stopped by {number.name}" in said
    assert not list(tmp_path.iterdir()), said


def test_a_training_that_is_terminated_keeps_its_epochs(tmp_path):
    """Though no checkpoint was due; and the run that goes on starts with them."""
    process = training(tmp_path)
    said = said_until(process, "epoch 10/100")
    start = time.monotonic()
    process.terminate()
    said += process.communicate(timeout=60)[0]
    assert process.returncode == 143, said
    assert time.monotonic() - start < 30
    assert "Traceback" not in said and "--resume goes on" in said
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert left == ["run", "run/checkpoints", "run/checkpoints/training.npz"]
    process = training(tmp_path, "--resume")
    said = said_until(process, "Going on after epoch")
    # The last line may come before all of its epoch is held.
    assert int(said.split("Going on after epoch ")[1].split()[0]) >= 9
    process.terminate()
    said += process.communicate(timeout=60)[0]
    assert process.returncode == 143 and "--resume goes on" in said


CAREFUL = r"""
import sys, threading, time
from scadv_tf import signals

work = {"__name__": "tensorflow.python.eager.execute"}
code = "print('ready', flush=True); time.sleep(1); return 'whole'"
exec(f"import time\ndef quick_execute(): {code}", work)
for _ in range(2):  # as cells of a notebook: the first that is stopped leaves nothing to the second
    try:
        with signals.interruptible():
            print(work["quick_execute"](), flush=True)
            time.sleep(float(sys.argv[1]))
            signals.due()
    except KeyboardInterrupt:
        print("stopped", flush=True)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def default_ctrl_c():
    signals.answer()  # as a program of the command line, in the same process
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, earlier)


@pytest.mark.parametrize("rest", [0, 0.5])
def test_in_a_notebook_ctrl_c_waits_for_tensorflow_alone(tmp_path, rest):
    process = started(tmp_path, CAREFUL, rest)
    said_until(process, "ready")
    process.send_signal(signal.SIGINT)
    said = said_until(process, "ready")
    said += said_until(process, "ready")
    assert said == "whole\nstopped\nready\nwhole\nready\n"
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert "KeyboardInterrupt" in said  # as before


def test_in_a_notebook_ctrl_c_stays_one_whatever_native_code_makes_of_it(default_ctrl_c):
    with pytest.raises(KeyboardInterrupt) as raised, signals.interruptible():
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise SystemError("returned a result with an exception set") from None
    assert isinstance(raised.value.__cause__, SystemError)
    with pytest.raises(ZeroDivisionError), signals.interruptible():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_in_another_thread_ctrl_c_stays_as_it_is(default_ctrl_c):
    found = []

    def elsewhere() -> None:
        with signals.interruptible():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]


def test_what_must_not_be_cut_short_is_done_before_a_signal_is_heard():
    done = []
    with pytest.raises(KeyboardInterrupt), signals.interruptible():
        with signals.undisturbed():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("within")
        done.append("after")
    assert done == ["within"]


def test_a_signal_that_comes_while_one_is_heard_interrupts_no_fragile_library(monkeypatch):
    """What the second interrupts is our handler, but what that interrupted is TensorFlow."""

    class Reminded(signals.Stopped):
        reminders = 1

        def __init__(self, number: int):
            super().__init__(number)
            if Reminded.reminders:
                Reminded.reminders = 0
                signal.raise_signal(number)

    work = {"__name__": "tensorflow.python.util.nest_util", "signal": signal}
    exec("def flatten(): signal.raise_signal(signal.SIGTERM); return 'whole'", work)
    monkeypatch.setattr(signals, "Stopped", Reminded)
    before = signal.signal(signal.SIGTERM, signals._ask)
    try:
        try:
            assert work["flatten"]() == "whole" and Reminded.reminders == 0
        except KeyboardInterrupt:  # which would end all tests
            pytest.fail("TensorFlow was interrupted")
        with pytest.raises(Reminded):
            signals.due()
    finally:
        signal.signal(signal.SIGTERM, before)
        signals._forget()


def test_where_ctrl_c_has_a_meaning_of_its_own_it_keeps_it():
    def meaning(*_):
        pass

    earlier = signal.signal(signal.SIGINT, meaning)
    try:
        with signals.interruptible():
            assert signal.getsignal(signal.SIGINT) is meaning
    finally:
        signal.signal(signal.SIGINT, earlier)


def test_two_trainings_do_not_share_a_folder(tmp_path):
    first = training(tmp_path)
    said_until(first, "Reading")
    second = training(tmp_path)
    said, _ = second.communicate(timeout=60)
    assert second.returncode == 2
    assert f"process {first.pid} on " in said and "Another run works" in said
    first.terminate()
    first.communicate(timeout=60)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_comparison_ends_with_the_system_that_it_runs(tmp_path, number):
    """A terminal sends Ctrl-C to all processes; `kill` sends SIGTERM to one."""
    words = ("--dataset=synthetic", "--synthetic_cells=200", "--output_dir=run", "--seeds=1")
    words = (*words, "--systems=scadv", "--epochs=100000")
    process = started(tmp_path, COMPARE, *words, start_new_session=True)
    said = said_until(process, "[1/1]")
    time.sleep(5)  # at whatever it is then: the process of the system says nothing
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    said += process.communicate(timeout=60)[0]  # which waits for all that hold the pipe
    assert process.returncode == 128 + number, said
    assert "Traceback" not in said and "after the finished rows" in said
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]
