"""The command that compiles for a GPU: what it counts, and what it says where it cannot or where a figure has grown."""

import importlib.util
import json

import jax
import pytest

from experiments import compile_for_gpu

TEXT = """HloModule jit_run, is_scheduled=true

%fused_add (param_0: f32[8]) -> f32[8] {
  %param_0 = f32[8]{0} parameter(0)
  ROOT %add.1 = f32[8]{0} add(%param_0, %param_0)
}

%step (arg: (f32[8], /*index=1*/s32[])) -> (f32[8], s32[]) {
  %arg = (f32[8]{0}, /*index=1*/s32[]) parameter(0)
  %w = f32[8]{0} get-tuple-element(%arg), index=0
  %product = (f32[8]{0}, s8[4096]{0}) custom-call(%w), metadata={op_name="dot_general"}
  %start = f32[8]{0} copy-start(%w)
  %done = f32[8]{0} copy-done(%start)
  %update = f32[8]{0} fusion(%w, %done), kind=kLoop, calls=%fused_add
  %one = s32[] constant(1)
  ROOT %out = (f32[8]{0}, s32[]) tuple(%update, %one)
}

%validation (arg.1: f32[8]) -> f32[8] {
  %arg.1 = f32[8]{0} parameter(0)
  ROOT %dot = f32[8]{0} fusion(%arg.1), kind=kCustom, calls=%fused_add, metadata={op_name="dot_general"}
}

%epoch (arg.2: f32[8]) -> f32[8] {
  %arg.2 = f32[8]{0} parameter(0)
  %steps = (f32[8]{0}, s32[]) while(%arg.2), condition=%c, body=%step
  ROOT %pieces = f32[8]{0} while(%steps), condition=%c, body=%validation
}

ENTRY %main (x: f32[8]) -> f32[8] {
  %x = f32[8]{0} parameter(0)
  ROOT %epochs = f32[8]{0} while(%x), condition=%c, body=%epoch
}
"""


def test_what_a_step_launches_is_counted_in_the_longest_innermost_loop_with_products():
    assert compile_for_gpu.kernels_per_step(TEXT) == 3  # the product, the copy and the update
    with pytest.raises(AssertionError, match="no loop over steps"):
        compile_for_gpu.kernels_per_step("ENTRY %main () -> f32[] {\n}\n")


@pytest.mark.skipif(importlib.util.find_spec("jax_plugins") is not None, reason="a compiler for CUDA may be installed")
def test_without_a_compiler_for_cuda_the_error_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(jax.config, "update", lambda name, value: None)  # later tests may need their settings
    assert compile_for_gpu.main(["--output", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "pip install -e '.[comparison,cuda]'" in error and error.count("\n") == 1


@pytest.mark.parametrize(("factor", "status"), [(1.9, 0), (2.1, 1)])
def test_a_figure_that_has_doubled_fails_the_command(factor, status, tmp_path, monkeypatch, capsys):
    def measured(program, device):
        figures = {"megabytes_per_run": factor * program.megabytes, "estimated_megabytes_per_run": 1.0}
        return {"runs": program.runs, "kernels_per_step": program.kernels, **figures}

    monkeypatch.setattr(compile_for_gpu, "_described_device", lambda: None)
    monkeypatch.setattr(compile_for_gpu, "_measured", measured)
    assert compile_for_gpu.main(["--output", str(tmp_path)]) == status
    printed = capsys.readouterr().out
    assert printed.count("More than twice the recorded figure: ") == status * len(compile_for_gpu.PROGRAMS)
    assert set(json.loads((tmp_path / "results.json").read_text())["programs"]) == set(compile_for_gpu.PROGRAMS)
