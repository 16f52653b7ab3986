"""Run on that machine, once for each part: keeps the part. The last one unpacks the job and starts it.

    python3 part-1/start.py
    python3 part-2/start.py [options of rtt_lib.run.gpu_job.work]

$RTT_JOB (default /tmp/rtt-job) holds everything between the calls; what is to be brought back goes to $OUT (default:
out/ in it). Only Python's own modules are imported: this file travels beside its part.
"""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

NAME = "job.tar.xz"


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def lacking(folder, plan):
    """Parts that are not there whole."""
    wanted = plan["digests"]
    return [n for n in wanted if not (folder / n).is_file() or digest(folder / n) != wanted[n]]


def unpack(folder, plan):
    whole = io.BytesIO(b"".join((folder / name).read_bytes() for name in plan["digests"]))
    with tarfile.open(fileobj=whole, mode="r:xz") as archive:
        archive.extractall(folder, filter="data")


def environment(folder):
    """Of the job: its own code, packages, data and store, and no network."""
    places = {
        "PYTHONPATH": os.pathsep.join([str(folder / "site"), str(folder / "code")]),
        "RTT_STORE": str(folder / "store"),
        "RTT_CACHE": str(folder / "cache"),
        "RTT_TEST_DATA": str(folder / "data"),
        "NLTK_DATA": str(folder / "nltk_data"),
    }
    return {**os.environ, **places, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}


def main(options):
    since, here = time.monotonic(), Path(__file__).resolve().parent
    folder = Path(os.environ.get("RTT_JOB", "/tmp/rtt-job"))
    plan = json.loads((here / "plan.json").read_text())
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(here / plan["part"], folder)
    missing = lacking(folder, plan)
    if missing:
        print("kept; still missing:", ", ".join(missing), flush=True)
        return 9 if plan["part"] == list(plan["digests"])[-1] else 0
    unpack(folder, plan)
    print(f"unpacked in {time.monotonic() - since:.1f} s", flush=True)
    out = Path(os.environ.get("OUT", folder / "out"))
    command = [sys.executable, "-m", "rtt_lib.run.gpu_job.work", str(folder / "profile.yaml"), str(out)]
    return subprocess.call([*command, "--since", str(since), *options], cwd=folder, env=environment(folder))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
