"""Of two processes that start on one folder at the same moment, exactly one writes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

# Each race forks two processes that wait for the same pipe to close. They do what `tfimp run` does with its folder.
RACES = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from store_helpers import CONFIG, INFO, round_contents
from tfimp.errors import StoreError
from tfimp.store import create_run, open_run, resume_run
from tfimp.verify import verify

def racer(begin, ready, said, leaving, left):
    os.read(ready, 1)
    try:
        with begin() as writer:
            os.write(said, b"wrote|")
            # Hold the folder until the other process has tried and left, which closes its end of this pipe.
            os.close(left)
            os.read(leaving, 1)
            writer.write_round(len(writer.run.rounds), **round_contents(len(writer.run.rounds)))
        os._exit(0)
    except StoreError as error:
        os.write(said, f"{error}|".encode())
        os._exit(2)

races = []
for number in range(int(sys.argv[3])):
    path = Path(sys.argv[2], str(number))
    is_new = number % 2 == 0
    if not is_new:
        create_run(path, CONFIG, INFO).close()
    begin = (lambda: create_run(path, CONFIG, INFO)) if is_new else (lambda: resume_run(path, CONFIG))
    (ready, start), (hear, said), (leaving, left) = os.pipe(), os.pipe(), os.pipe()
    children = []
    for _ in range(2):
        children.append(os.fork())
        if children[-1] == 0:
            os.close(start)
            racer(begin, ready, said, leaving, left)
    for descriptor in (ready, start, said, leaving, left):
        os.close(descriptor)
    codes = sorted(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)
    words = [word for word in os.read(hear, 10000).decode().split("|") if word]
    os.close(hear)
    races.append([codes, sorted(words), len(open_run(path).rounds), verify(path), children])
print(json.dumps(races))
"""


def test_one_of_two_writers_is_told_that_the_other_writes(tmp_path: Path) -> None:
    store_tests = Path(__file__).parents[1] / "store"
    done = subprocess.run(
        [sys.executable, "-c", RACES, store_tests, tmp_path, "50"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for codes, words, rounds, problems, children in json.loads(done.stdout):
        assert codes == [0, 2]
        assert (rounds, problems) == (1, [])
        other = words[0] if words[1] == "wrote" else words[1]
        assert "wrote" in words
        assert any(f"is being written by process {child}" in other for child in children), other
