# SPDX-License-Identifier: Apache-2.0
"""The checker passes sound histories, fails every mutant of them (I20), and says `unknown` when there is nothing to judge."""
import random

import pytest

import checker
import history
import mutants
import mutants_bus  # noqa: F401
import mutants_crowd  # noqa: F401
import mutants_readers  # noqa: F401
from finding import FAIL, NOT_APPLICABLE, PASS, UNKNOWN
from made_histories import BOARDS, SOUND, Made, plain
from model import REJECTED, SECOND, UNKNOWN as NO_ANSWER


def verdict_of(made) -> checker.Verdict:
    made.records.sort(key=lambda record: record["t"])
    return checker.Verdict(made)


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_history_passes(name):
    verdict = verdict_of(SOUND[name]())
    assert verdict.verdict == PASS, verdict.text()


def test_each_invariant_passes_on_some_sound_history():
    passed = {name for made in SOUND.values() for name, finding in verdict_of(made()).findings.items() if finding.verdict == PASS}
    assert passed == set(checker.INVARIANTS)


@pytest.mark.parametrize("name", mutants.MUTANTS)
def test_a_mutant_is_caught(name):
    mutant, shown = mutants.MUTANTS[name], 0
    for made in SOUND.values():
        for seed in range(5):
            text, caught = mutants.judge(mutant, made(), random.Random(seed))
            assert caught is not False, text
            shown += caught is True
    assert shown, "no sound history can show it"


def test_each_invariant_but_the_counters_of_runs_catches_some_mutant():
    catching = set()
    for mutant in mutants.MUTANTS.values():
        for made in SOUND.values():
            changed = mutant.change(made().records, checker.Model(made()), random.Random(1))
            if changed is not None:
                catching |= verdict_of(history.History(made().meta, changed)).failed()
    assert catching >= set(checker.INVARIANTS) - {"I0"}  # I0 never fails: it is `unknown`.


# What the mutants do not show.

def findings(made: Made) -> dict:
    return verdict_of(made.finish()).findings


def test_an_unknown_message_may_be_there_or_not():
    made = Made()
    for n in range(6):
        made.message(BOARDS[n % 2])
    made.fault()
    made.attempt("maybe-lost", "a", 70, NO_ANSWER)
    made.attempt("maybe-there", "a", 71, NO_ANSWER)
    made.commit("maybe-there", "a", 71)
    assert not {name for name, finding in findings(made).items() if finding.verdict == FAIL} - {"I15"}


def test_a_message_is_rejected_only_when_all_its_attempts_were():
    made = Made()
    made.fault()
    for n in range(6):
        made.message()
    made.attempt("k", "a", 70, REJECTED)
    made.attempt("k", "a", 70, NO_ANSWER, attempt=2)
    made.commit("k", "a", 70)
    assert findings(made)["I3"].verdict == NOT_APPLICABLE


def test_a_pruned_board_may_jump_only_where_boards_are_pruned():
    def made(expects):
        run = Made(expects=expects)
        run.fault()
        for n in range(6):
            run.message(BOARDS[n % 2])
        run.seqs.pop("a")  # The next event of the board starts at its pos again.
        run.message("a")
        return findings(run)["I5"]
    assert made(("pruning", "gaps")).verdict == PASS and "1 jumps" in made(("pruning", "gaps")).text
    assert made(()).verdict == FAIL


def test_a_reader_without_a_cursor_owes_nothing_for_the_time_it_was_away():
    made = Made()
    made.fault()
    made.message("a")
    made.add("sub.close", sub="ws-a", why="Ended")
    made.count += 1
    made.attempt("missed", "a", made.count)
    made.commit("missed", "a", made.count, skip=("ws-a",))
    made.open("ws-a")
    for n in range(5):
        made.message("a")
    got = findings(made)
    assert got["I7"].verdict == got["I8"].verdict == PASS


def test_a_reader_with_a_cursor_is_owed_everything():
    made = Made()
    made.fault()
    made.message("a")
    made.add("sub.close", sub="ws-a", why="Ended")
    made.attempt("missed", "a", 80)
    made.commit("missed", "a", 80, skip=("ws-a",))
    made.open("ws-a", since="e1.1")
    for n in range(5):
        made.message("a")
    got = findings(made)
    assert got["I7"].verdict == got["I8"].verdict == FAIL


def test_behind_a_cursor_the_end_of_the_board_excuses_nothing():
    def made(since):
        run = Made()
        run.fault()
        for n in range(5):
            run.message("a")
        run.add("sub.close", sub="ws-a", why="Ended")
        run.attempt("missed", "a", 80)
        run.commit("missed", "a", 80, skip=("ws-a",))
        run.open("ws-a", since=since)
        run.add("sub.live", sub="ws-a", board="a", epoch="e1", seq=6, recovered=False)
        run.message("a")
        return findings(run)["I7"].verdict
    assert made(None) == PASS and made("e1.5") == FAIL


def test_a_gap_frame_excuses_exactly_what_it_names():
    def made(last):
        run = Made(expects=("gaps",))
        run.fault()
        for n in range(5):
            run.message("a")
        for n in (80, 81):
            run.attempt(f"k{n}", "a", n)
            run.commit(f"k{n}", "a", n, skip=("ws-a",))
        run.add("gap", sub="ws-a", board="a", first=6, last=last)
        run.message("a")
        return findings(run)
    assert made(7)["I8"].verdict == made(7)["I7"].verdict == PASS
    assert made(6)["I8"].verdict == made(6)["I7"].verdict == FAIL


def test_a_gap_of_positions_speaks_of_all_boards_of_its_reader():
    def made(last):
        run = Made(expects=("gaps",))
        run.fault()
        for n in range(6):
            run.message(BOARDS[n % 2])
        for n, board in ((80, "a"), (81, "b")):
            run.attempt(f"k{n}", board, n)
            run.commit(f"k{n}", board, n, skip=("sse",))
        run.add("gap", sub="sse", board=None, unit="pos", first=7, last=last)
        for n in range(4):
            run.message(BOARDS[n % 2])
        return findings(run)
    assert made(8)["I8"].verdict == made(8)["I7"].verdict == PASS
    assert made(7)["I8"].verdict == FAIL, "it does not name the second one"
    assert made(9)["I7"].verdict == FAIL, "it names one that comes all the same"


def stream_of(*pieces) -> dict:
    """What I7 and I8 say of a stream of a and b that shows these of eight events (by `pos`; a has the odd ones, c the sixth, b the rest);
    "gap 3 4" and "resync 4" are frames, "cut" an end after which it brings its cursor."""
    run = Made(expects=("gaps",))
    run.fault()
    for n in range(1, 9):
        board = "c" if n == 6 else BOARDS[(n + 1) % 2]
        run.attempt(f"m{n}", board, n)
        run.commit(f"m{n}", board, n, skip=("sse",))
    entries = {record["pos"]: record for record in run.history.of("log")}
    for piece in pieces:
        what, *numbers = str(piece).split()
        if what == "cut":
            run.add("sub.close", sub="sse", why="Ended")
            run.open("sse", since="e1.cursor")
        elif what == "gap":
            run.add("gap", sub="sse", board=None, unit="pos", first=int(numbers[0]), last=int(numbers[1]))
        elif what == "resync":
            run.add("resync", sub="sse", board=None, epoch="e1", pos=int(numbers[0]))
        else:
            run.add("recv", sub="sse", **{name: entries[piece][name] for name in ("board", "key", "id", "hash", "epoch", "pos", "seq")})
    got = verdict_of(run.finish()).findings
    return {name: got[name].verdict for name in ("I7", "I8")}


SOUND_STREAM, BROKEN_STREAM = {"I7": PASS, "I8": PASS}, {"I7": FAIL, "I8": FAIL}


def test_a_stream_of_several_boards_goes_on_by_position():
    assert stream_of(1, 2, 3, "cut", 4, 5, 7, 8) == SOUND_STREAM
    assert stream_of(1, 3, "cut", 4, 5, 7, 8) == BROKEN_STREAM, "its cursor is beyond the second"
    assert stream_of(1, 3, 2, 4, 5, 7, 8)["I7"] == FAIL, "each board alone is in order"
    assert stream_of(1, 2, 3, "cut", 2, 4, 5, 7, 8)["I7"] == FAIL


def test_a_stream_of_several_boards_is_told_of_gaps_by_position():
    assert stream_of(1, 2, "cut", "gap 3 4", 5, 7, 8) == SOUND_STREAM
    assert stream_of(1, 2, 3, 4, 5, "cut", "gap 7 7", 8) == SOUND_STREAM, "the sixth is on another board"
    assert stream_of(1, 2, "cut", "gap 4 5", 7, 8) == BROKEN_STREAM, "the third is not named"
    assert stream_of(1, 2, 3, "cut", "gap 3 4", 5, 7, 8)["I7"] == FAIL, "the third had come"


def test_a_stream_of_several_boards_goes_on_where_a_resync_says():
    assert stream_of(1, 2, "resync 4", "cut", 5, 7, 8) == SOUND_STREAM
    assert stream_of(1, 2, "resync 4", "cut", 7, 8)["I7"] == FAIL, "it was to go on behind the fourth"
    assert stream_of(1, 2, 3, "resync 4", 4, 5, 7, 8)["I7"] == FAIL


def test_a_rolled_back_event_needs_a_resync_before_the_next():
    def made(told):
        run = Made(expects=("failover", "redis_lost"))
        run.fault()
        for n in range(5):
            run.message("a")
        old = {"board": "a", "key": "k5", "id": "id-old", "hash": run.hash(5), "epoch": "e1", "pos": 6, "seq": 6}
        run.add("recv", sub="ws-a", **old)
        if told:
            run.add("resync", sub="ws-a", board="a", epoch="e1", seq=5)
        run.message("a")
        run.message("a")
        return findings(run)["I6"].verdict
    assert made(True) == PASS and made(False) == FAIL


def test_another_epoch_is_told_by_servers_that_can():
    def finding(can):
        made = SOUND["replaced"]()
        made.records = [record for record in made.records if record["op"] != "resync"]
        made.meta["server_can"] = can
        return verdict_of(made).findings["I7"]
    assert finding(["resume"]).verdict == FAIL
    assert finding([]).verdict == PASS and "no word of it" in finding([]).text


def test_two_fates_are_counted_when_a_worker_was_killed():
    made = Made()
    made.fault()
    key = made.message("a")
    for n in range(5):
        made.message("a")
    made.add("proc", type="exit", proc="worker0", pid=11, code=-9)
    made.add("proc", type="start", proc="worker0", pid=11, code=None)
    made.add("dlq", id=f"id-{key}", key=key, board="a", hash=made.hash(1), reason="retries_exhausted", attempts=4)
    finding = findings(made)["I14"]
    assert finding.verdict == PASS and "1 with both fates" in finding.text


def test_retries_are_judged_by_the_settings_of_the_process_that_charged():
    def finding(pid):
        made = Made(expects=("retries",))
        made.fault()
        made.message("a", expect="flaky")
        for n in range(5):
            made.message("a")
        made.add("proc", type="start", proc="worker0", pid=12, code=None, retry={"retry_delay_ms": 1000, "retry_max_delay_ms": 5000, "max_retries": 4})
        made.add("line", event="retry", event_id="id-k1", board_id="a", attempts=1, wall=1000.0, delay_ms=1010, proc="worker0", pid=pid)
        return findings(made)["I12"]
    assert finding(12).verdict == PASS, finding(12)
    assert finding(11).verdict == FAIL


def test_a_crowd_that_is_closed_at_once_or_without_a_word_is_no_orderly_leave():
    def finding(change):
        made = SOUND["leaving"]()
        change([record for record in made.records if record["op"] == "crowd"])
        return verdict_of(made).findings["I21"]
    assert finding(lambda crowd: None).verdict == PASS
    assert finding(lambda crowd: crowd[3].update(code=1006)).verdict == FAIL
    assert finding(lambda crowd: crowd[3].update(hint_ms=5000)).verdict == FAIL
    assert finding(lambda crowd: crowd[3].update(closed=None)).verdict == FAIL
    assert finding(lambda crowd: crowd[3]["events"].reverse()).verdict == FAIL


def test_an_acceptance_in_an_alarm_is_a_lie():
    made = Made()
    made.history.meta["faults"] = ["rabbit.memory-alarm"]
    for n in range(5):
        made.message("a")
    made.add("fault", type="begin", name="rabbit.memory-alarm")
    made.add("fault", type="took", name="rabbit.memory-alarm", detail="Memory")
    made.t += 3 * SECOND
    made.message("a")
    made.add("fault", type="end", name="rabbit.memory-alarm")
    assert findings(made)["I16"].verdict == FAIL


def test_too_few_messages_are_no_proof():
    made = plain()
    made.meta["accepted_min"] = 1000
    verdict = verdict_of(made)
    assert verdict.findings["I0"].verdict == verdict.verdict == UNKNOWN


def test_a_run_that_was_to_show_a_gap_proves_nothing_without_one():
    made = plain()
    made.meta["shows"] = ["gap"]
    assert verdict_of(made).findings["I0"].verdict == UNKNOWN


def test_a_fault_point_that_was_not_met_is_no_proof():
    made = plain()
    made.meta["deaths"] = {"worker0": 1}
    assert verdict_of(made).verdict == UNKNOWN


def test_an_empty_history_proves_nothing():
    assert verdict_of(history.History({"accepted_min": 1, "faults": [], "settings": plain().meta["settings"]}, [])).verdict == UNKNOWN


def test_a_stored_run_reads_back_as_it_was(tmp_path):
    made = plain()
    history.write_meta(tmp_path, made.meta)
    writer = history.Writer(tmp_path, "all")
    for record in made.records:
        writer.write(**{**record, "op": record["op"]})
    writer.close()
    with open(tmp_path / "all.jsonl", "a", encoding="utf-8") as file:
        file.write('{"t": 1, "op": "re')  # The writer was killed here.
    stored = history.read(tmp_path)
    assert stored.records == made.records and stored.meta == made.meta


def test_a_damaged_run_is_not_judged(tmp_path):
    history.write_meta(tmp_path, plain().meta)
    (tmp_path / "all.jsonl").write_text('{"t": 1, "op": "re\n{"t":2,"op":"x"}\n')
    with pytest.raises(ValueError):
        history.read(tmp_path)
