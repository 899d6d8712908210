import subprocess

import pytest

from tests.mutants.mutant import MalformedMutant, Mutant, all_mutants, read_mutant


def written(tmp_path, text):
    patch = tmp_path / "forgets-to-sync.patch"
    patch.write_text(text)
    return patch


def test_the_head_says_what_it_breaks_and_what_must_see_it(tmp_path):
    mutant = read_mutant(written(tmp_path, "# breaks: durability\n# kill: pytest tests/unit/a.py -k 'b or c'\ndiff\n"))
    assert mutant.name == "forgets-to-sync"
    assert mutant.breaks == "durability"
    assert mutant.kill == ("pytest", "tests/unit/a.py", "-k", "b or c")


@pytest.mark.parametrize(
    "text",
    [
        "diff --git a/x b/x\n",
        "# breaks: durability\ndiff\n",
        "# kill: pytest tests\ndiff\n",
        "# breaks:\n# kill: pytest tests\n",
        "# breaks: it\n# kill: true\n",
        "diff\n# breaks: too late\n# kill: pytest tests\n",
    ],
)
def test_a_patch_without_its_head_is_refused(tmp_path, text):
    with pytest.raises(MalformedMutant, match=r"forgets-to-sync\.patch"):
        read_mutant(written(tmp_path, text))


@pytest.mark.parametrize("mutant", all_mutants(), ids=lambda mutant: mutant.name)
def test_every_patch_here_applies_to_the_code_as_it_is(mutant: Mutant, project_root):
    command = ["git", "apply", "--check", "--recount", str(mutant.patch)]
    done = subprocess.run(command, cwd=project_root, capture_output=True, text=True, check=False)
    assert not done.returncode, f"make it anew: {done.stderr}"
