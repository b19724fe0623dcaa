"""The scripts for Slurm, TPU VMs, GKE and Vertex AI: what they would run is whole, and the program takes it."""

import json
import os
import pathlib
import random
import re
import subprocess

import jsonschema
import pytest
import yaml
from absl import flags

from jax_ser_darts import main

LAUNCH = pathlib.Path(__file__).parents[2] / "launch"
SCHEMAS = pathlib.Path(__file__).parent / "schemas"
CONFIG = str(LAUNCH.parent / "configs" / "demo.py")
AWKWARD = '/a b/it\'s "$HOME" \\ 100%'  # a path that a careless script would break

REQUIRED = {
    "slurm": (),
    "gke": ("--image=here/image:tag", "--claim=ser"),
    "vertex": (
        "--project=me",
        "--image=here/image:tag",
        "--nfs=10.0.0.2:/ser",
        "--network=projects/1/global/networks/n",
    ),
    "tpu_vm": ("--project=me", "--zone=z", "--image=here/image:tag", "--bucket=gs://me/ser"),
}
WORKDIR = {
    "slurm": "/scratch/run 1",
    "gke": "/work/run 1",
    "vertex": "/mnt/nfs/work/run 1",
    "tpu_vm": "/work/run 1",
}
every_script = pytest.mark.parametrize("name", sorted(REQUIRED))


def run(name, *arguments, **options):
    return subprocess.run(
        [LAUNCH / f"{name}.sh", *arguments], capture_output=True, text=True, timeout=60, **options
    )


def dry(name, *arguments):
    """What the script would run, with an awkward setting of the program in it."""
    given = (f"--config={CONFIG}", f"--config.data.source={AWKWARD}", f"--workdir={WORKDIR[name]}")
    done = run(name, "--dry-run", *REQUIRED[name], *given, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def words_of(line):
    """The words that bash makes of a line; $'...' is beyond shlex."""
    done = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, text=True, check=True
    )
    return done.stdout.split("\0")[:-1]


def training_command(name, text):
    """The command of the program in a dry run's text."""
    if name == "slurm":
        (line,) = (line for line in text.splitlines() if line.startswith("srun "))
        return words_of(line.rstrip("&"))[3:]
    if name == "tpu_vm":
        (ssh,) = (line for line in text.splitlines() if " ssh " in line)
        (remote,) = (x.removeprefix("--command=") for x in words_of(ssh) if x.startswith("--command="))
        line = next(part for part in remote.replace("\\\n", " ").splitlines() if "docker run" in part)
        words = words_of(line.rstrip("&"))
        return words[words.index("here/image:tag") + 1 :]
    manifest = yaml.safe_load(text)
    if name == "vertex":
        return manifest["workerPoolSpecs"][0]["containerSpec"]["command"]
    pod = manifest["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    return pod["containers"][0]["command"]


@every_script
def test_help_teaches(name):
    done = run(name, "--help")
    assert done.returncode == 0
    assert "--dry-run" in done.stdout
    assert "example:" in done.stdout
    assert all(f"--{option}=" in done.stdout for option in options_of(name)), "every option is explained"


@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")  # of ml_collections
@every_script
def test_the_program_takes_its_command(name, monkeypatch):
    command = training_command(name, dry(name))
    assert command[:3] == ["python", "-m", "jax_ser_darts.main"]
    parsed = flags.FLAGS
    monkeypatch.setattr("sys.argv", command[2:])  # where the config's own settings are looked for
    try:
        assert parsed(command[2:]) == ["jax_ser_darts.main"], "nothing is left over"
        assert main.CONFIG.value.data.source == AWKWARD
        assert main.WORKDIR.value == WORKDIR[name]
    finally:
        parsed.unparse_flags()
        delattr(parsed, "config.data.source")  # or it would be defined twice by the next command


@every_script
def test_without_a_workdir_it_says_so(name):
    done = run(name, *REQUIRED[name], f"--config={CONFIG}")
    assert done.returncode == 2
    assert "--workdir=DIR is missing" in done.stderr


@pytest.mark.parametrize("name", ["gke", "vertex", "tpu_vm"])
def test_a_workdir_that_would_be_lost_is_refused(name):
    done = run(name, "--dry-run", *REQUIRED[name], f"--config={CONFIG}", "--workdir=/root/run")
    assert done.returncode == 2
    assert "would be lost" in done.stderr


@pytest.mark.parametrize(
    ("name", "missing"),
    [("gke", "image"), ("vertex", "nfs"), ("tpu_vm", "bucket")],
)
def test_a_missing_option_is_named(name, missing):
    given = [option for option in REQUIRED[name] if not option.startswith(f"--{missing}=")]
    done = run(name, "--dry-run", *given, f"--config={CONFIG}", f"--workdir={WORKDIR[name]}")
    assert done.returncode == 2
    assert f"--{missing} is missing" in done.stderr


@every_script
def test_options_may_have_their_value_as_the_next_word(name):
    joined = dry(name)
    words = [part for option in REQUIRED[name] for part in option.split("=", 1)]
    given = ("--config", CONFIG, f"--config.data.source={AWKWARD}", "--workdir", WORKDIR[name])
    done = run(name, "--dry-run", *words, *given)
    a, b = (training_command(name, text) for text in (joined, done.stdout))
    assert b == [*a[:-3], "--config", CONFIG, a[-2], a[-1]]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gke", ("--accelerator=gpu", "--chips=4")),
        ("gke", ("--accelerator=tpu", "--spot=false")),
        ("gke", ("--accelerator=cpu", "--spot=false")),
        ("vertex", ()),
        ("vertex", ("--gpu_type=", "--machine=n2-standard-8", "--spot=false")),
    ],
)
def test_a_manifest_is_one_of_its_kind(name, options):
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    manifest = yaml.safe_load(dry(name, *options))
    jsonschema.validate(manifest, schema)
    broken = json.loads(json.dumps(manifest).replace('"image', '"imagge'))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema)


def test_a_gke_pod_gets_its_chips_and_its_disk():
    manifest = yaml.safe_load(
        dry("gke", "--accelerator=tpu", "--chips=8", "--tpu_topology=2x4", "--restarts=7")
    )
    assert manifest["spec"]["failurePolicy"]["maxRestarts"] == 7
    pod = manifest["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"] == {"google.com/tpu": "8"}
    assert pod["nodeSelector"]["cloud.google.com/gke-spot"] == "true"
    assert pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"] == "2x4"
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == "ser"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--tpu_topology=2x4",), "is of 8 chips, and --hosts=1 with --chips=1 each is of 1"),
        (
            ("--chips=4", "--hosts=2", "--tpu_topology=2x2x1"),
            "is of 4 chips, and --hosts=2 with --chips=4 each is of 8",
        ),
        (("--tpu_topology=8",), "must be like 2x4"),
        (("--tpu_topology=2x4x",), "must be like 2x4"),
    ],
)
def test_a_tpu_slice_is_as_large_as_its_pods(options, why):
    """Kubernetes would leave the pods waiting for a node that there is not."""
    given = (*REQUIRED["gke"], "--accelerator=tpu", *options, f"--workdir={WORKDIR['gke']}")
    done = run("gke", "--dry-run", *given)
    assert done.returncode == 2
    assert why in done.stderr


def test_a_slurm_job_is_queued_again_at_the_end_of_its_time(tmp_path):
    """The job script runs, with stand-ins for Slurm's own commands; the signal comes as Slurm would send it."""
    said, workdir = tmp_path / "said", tmp_path / "run"
    for command, does in (
        ("srun", f'echo "srun $*" >>{said}; sleep 30 & echo $! >{tmp_path}/sleeper; wait'),
        ("scontrol", f'echo "scontrol $*" >>{said}; kill "$(cat {tmp_path}/sleeper)"'),
    ):
        (tmp_path / command).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / command).chmod(0o755)
    text = run("slurm", "--dry-run", f"--config={CONFIG}", f"--workdir={workdir}").stdout
    assert "#SBATCH --requeue" in text
    script = tmp_path / "job.sh"
    script.write_text(text)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "7"}
    job = subprocess.Popen(["bash", script], env=environment, stdout=subprocess.DEVNULL)
    while not (tmp_path / "sleeper").exists():
        assert job.poll() is None
    job.send_signal(subprocess.signal.SIGUSR1)
    assert job.wait(timeout=20) != 0
    assert "scontrol requeue 7" in said.read_text()


def test_several_nodes_are_one_run():
    given = (f"--config={CONFIG}", "--workdir=/scratch/run", "--gpus=4", "--nodes=2", "--cpus=16")
    text = run("slurm", "--dry-run", *given).stdout
    assert "#SBATCH --nodes=2" in text
    assert "#SBATCH --ntasks-per-node=4" in text
    assert "#SBATCH --cpus-per-task=4" in text
    assert "srun --kill-on-bad-exit=1 --cpus-per-task=4 " in text, "it does not always take the job's"
    assert training_command("slurm", text)[-1] == "--distributed"
    manifest = yaml.safe_load(dry("gke", "--accelerator=tpu", "--hosts=2", "--chips=4", "--tpu_topology=2x4"))
    job = manifest["spec"]["replicatedJobs"][0]["template"]["spec"]
    assert job["parallelism"] == job["completions"] == 2
    assert training_command("gke", yaml.safe_dump(manifest))[-1] == "--distributed"
    assert run("gke", "--dry-run", *REQUIRED["gke"], "--hosts=2", "--workdir=/work/run").returncode == 2


def test_slurm_gets_the_script_that_a_dry_run_shows(tmp_path):
    (tmp_path / "sbatch").write_text(f"#!/bin/sh\ncat >{tmp_path}/submitted\n")
    (tmp_path / "sbatch").chmod(0o755)
    given = (f"--config={CONFIG}", f"--workdir={tmp_path}/run", "--gpus=0", "--partition=p")
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert run("slurm", *given, env=environment).returncode == 0
    assert (tmp_path / "submitted").read_text() == run("slurm", "--dry-run", *given).stdout
    assert (tmp_path / "run").is_dir(), "where its log goes"
    assert "--gres" not in (tmp_path / "submitted").read_text()


@pytest.mark.parametrize(
    ("states", "commands"),
    [
        (
            "ABSENT WAITING_FOR_RESOURCES ACTIVE SUSPENDED SUSPENDED ABSENT ACTIVE",
            "create run delete create run delete",
        ),
        ("ABSENT ACTIVE LOST LOST ACTIVE", "create run run delete"),
        ("ABSENT ACTIVE" + 11 * " LOST", "create run"),
        ("LOST", ""),
    ],
    ids=["taken away", "not seen for a while", "not seen again", "never seen"],
)
def test_a_tpu_vm_that_is_taken_away_is_asked_for_again(tmp_path, states, commands):
    """With a stand-in for gcloud: the first run does not end well, the second one does.

    Where gcloud does not answer, nothing is known of the VM: no second one is made beside it.
    """
    (tmp_path / "states").write_text(states.replace(" ", "\n") + "\n")
    (tmp_path / "gcloud").write_text(
        f"""#!/bin/sh
cd {tmp_path}
case "$*" in
  *describe*)
    state=$(head -n 1 states); sed -i 1d states
    case $state in
      ABSENT) echo "ERROR: (gcloud) NOT_FOUND: no such resource" >&2; exit 1 ;;
      LOST) echo "ERROR: (gcloud) no network" >&2; exit 1 ;;
    esac
    echo "a warning" >&2; echo "$state" ;;
  *ssh*) echo run >>said; [ "$(grep -c run said)" -ge 2 ] ;;
  *create*) echo create >>said ;;
  *delete*) echo delete >>said ;;
esac
"""
    )
    (tmp_path / "gcloud").chmod(0o755)
    (tmp_path / "sleep").write_text("#!/bin/sh\n")
    (tmp_path / "sleep").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = run(
        "tpu_vm", *REQUIRED["tpu_vm"], f"--config={CONFIG}", f"--workdir={WORKDIR['tpu_vm']}", env=environment
    )
    assert done.returncode == (not commands.endswith("delete")), done.stderr
    (tmp_path / "said").touch()
    assert (tmp_path / "said").read_text().split() == commands.split()
    if commands == "create run":
        assert "if there is a VM jax-ser-darts, it is still there" in done.stderr


# What schedulers, shells, YAML and Kubernetes take for something else than text.
NEVER = ("a\nb", "a\tb", "a\x1b[2Jb", "a\x7fb", "a\x85b", "a\u2028b")
NEVER_SENT = (*NEVER, "a$(id)", "a`id`", "../a", "a/../b", "a/..")
NEVER_A_NAME = (*NEVER_SENT, "a'b", 'a"b', "a%jb", "a$HOME", "a\\b", "a;b", "a#b", "-a", "~/a")
COMMANDS = ("gcloud", "kubectl", "sbatch", "docker", "ssh")


def options_of(name):
    return sorted(set(re.findall(r"\[(\w+)\]=", (LAUNCH / f"{name}.sh").read_text())))


@pytest.fixture
def sent(tmp_path):
    """A function that runs a script with stand-ins for all that sends; they say so in a file, whose path it gives."""
    for command in COMMANDS:
        (tmp_path / command).write_text(f'#!/bin/sh\necho "$0 $*" >>{tmp_path}/sent\ncat >/dev/null\n')
        (tmp_path / command).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    return lambda name, *given: (
        run(name, *given, env=environment, stdin=subprocess.DEVNULL),
        tmp_path / "sent",
    )


@every_script
def test_what_is_no_name_is_refused_in_every_argument_before_anything_is_sent(name, sent):
    rng = random.Random(0)
    cases = [f"--{option}={bad}" for option in options_of(name) for bad in rng.sample(NEVER_A_NAME, 4)]
    below = WORKDIR[name].rpartition("/")[0]
    cases += [f"--workdir={below}/{bad}" for bad in NEVER_A_NAME if bad not in ("-a", "~/a")]
    cases += [f"--config.data.source={bad}" for bad in NEVER_SENT]
    cases += NEVER_SENT
    given = [*REQUIRED[name], f"--workdir={WORKDIR[name]}", f"--config={CONFIG}"]
    for argument in cases:
        if argument.startswith("--setup=") and not any(bad in argument for bad in NEVER):
            continue  # for a shell
        done, path = sent(name, *given, argument)
        assert done.returncode == 2, argument
        assert "error: " in done.stderr, argument
        assert not path.exists(), argument
        assert done.stderr.isprintable() or set("\n") >= {c for c in done.stderr if not c.isprintable()}, (
            argument
        )


def test_on_this_machine_control_characters_alone_are_refused(tmp_path):
    for bad in NEVER:
        done = run("local", "--dry-run", f"--workdir={tmp_path}/{bad}")
        assert done.returncode == 2, bad
        assert "control character" in done.stderr
    assert run("local", "--dry-run", "--workdir=../runs/$x '1'").returncode == 0


@pytest.mark.parametrize("text", [AWKWARD, "('first','second')", "(('joy','happy'),)", "a=b, c", "100%", "ü"])
@every_script
def test_all_else_reaches_the_program_as_it_was_written(name, text):
    given = (*REQUIRED[name], f"--config.x={text}", f"--workdir={WORKDIR[name]}")
    done = run(name, "--dry-run", *given)
    assert done.returncode == 0, done.stderr
    assert training_command(name, done.stdout)[-2] == f"--config.x={text}"


def test_nobody_has_more_rights_than_needed():
    """The image has a user, pods gain no rights; on a TPU VM the devices need --privileged, and say so."""
    dockerfile = (LAUNCH / "Dockerfile").read_text()
    assert re.search(r"^USER [1-9]", dockerfile, re.MULTILINE)
    for path in LAUNCH.iterdir():
        assert "777" not in path.read_text(), path
        if "--privileged" in path.read_text():
            assert path.name == "tpu_vm.sh"
            assert "# --privileged: the TPU's devices" in path.read_text()
    for kind, root in (("cpu", False), ("gpu", False), ("tpu", True)):
        manifest = yaml.safe_load(dry("gke", f"--accelerator={kind}"))
        pod = manifest["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
        assert (pod["securityContext"]["runAsUser"] == 0) == root
        assert pod["containers"][0]["securityContext"] == {"allowPrivilegeEscalation": False}


@pytest.mark.parametrize("name", ["gke", "vertex", "tpu_vm"])
def test_compiled_programs_are_kept_where_the_runs_are(name):
    """Where the machine is lost, what it compiled is not; another folder may be named."""
    command = training_command(name, dry(name))
    (folder,) = (word.partition("=")[2] for word in command if word.startswith("--compilation_cache="))
    assert folder.startswith(WORKDIR[name].rpartition("/")[0])
    other = training_command(name, dry(name, "--compilation_cache=/elsewhere"))
    assert [word for word in other if "_cache" in word][-1] == "--compilation_cache=/elsewhere"


def test_every_script_is_clean():
    scripts = sorted(LAUNCH.glob("*.sh"))
    assert len(scripts) == 6
    done = subprocess.run(["shellcheck", "-x", *scripts], capture_output=True, text=True, cwd=LAUNCH.parent)
    assert done.returncode == 0, done.stdout


def test_the_image_has_what_the_program_is_made_of():
    """Whatever the Dockerfile copies is there, is let through by .dockerignore, and has every package."""
    lines = (LAUNCH / "Dockerfile").read_text().splitlines()
    copied = {name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]}
    let_through = {
        line[1:] for line in (LAUNCH.parent / ".dockerignore").read_text().splitlines() if line[0] == "!"
    }
    assert copied == let_through
    assert all((LAUNCH.parent / name).exists() for name in copied)
    setup = (LAUNCH.parent / "setup.cfg").read_text()
    packages = re.search(r"include =\n((?:    .+\n)+)", setup)[1].split()
    assert {package.rstrip("*") for package in packages} <= copied
    for target in ("cuda", "tpu", "train"):
        assert f"\n{target} =" in setup, "an extra of this name"
