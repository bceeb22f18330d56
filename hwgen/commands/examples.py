"""What the help of each command shows to try: every line works where `hwgen demo` has run, in the folder above its own
(``bench`` needs the MLPerf Tiny networks besides)."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[str, ...]] = {
    "presets": ("hwgen presets", "hwgen presets --json presets.json"),
    "doctor": ("hwgen doctor",),
    "compress": (
        "hwgen compress hwgen-demo/digits_float.onnx --recipe int8 --data hwgen-demo/digits_test.npz -o int8.onnx",
        "hwgen compress hwgen-demo/digits_float.onnx --recipe w4a8 --data hwgen-demo/digits_test.npz -o w4a8.onnx",
    ),
    "sensitivity": (
        "hwgen sensitivity hwgen-demo/digits_float.onnx --data hwgen-demo/digits_test.npz -o s.json --plot s.svg",
    ),
    "generate": ("hwgen generate --preset tiny -o tiny", "hwgen generate --config mine.toml -o mine"),
    "compile": ("hwgen compile hwgen-demo/digits.onnx --preset base -o compiled",),
    "verify": (
        "hwgen verify hwgen-demo/digits.onnx --preset base --layers --report report.html",
        "hwgen verify hwgen-demo/digits.onnx --config mine.toml --inputs hwgen-demo/digits_test.npz --limit 3",
    ),
    "run": ("hwgen run hwgen-demo/digits.onnx --inputs hwgen-demo/digits_test.npz -o outputs.npz",),
    "compare": (
        "hwgen compare hwgen-demo/digits.onnx",
        "hwgen compare hwgen-demo/digits.onnx --preset base-sparse --json compared.json",
    ),
    "synth": ("hwgen synth --preset tiny --target ice40",),
    "demo": ("hwgen demo", "hwgen demo --preset tiny --images 10 -o tiny-demo"),
    "bench": ("hwgen bench --models ../shared/models -o benchmarks.md",),
}
"""By command."""

MINE = """mine.toml, for example:
  preset = "tiny"
  act_kib = 16"""
"""The file that some of them name, a configuration of one's own."""


def epilog(command: str) -> str:
    """Return the text below the options of a command's help."""
    lines = EXAMPLES[command]
    heading = "Examples" if len(lines) > 1 else "Example"
    files = " (the files are there after `hwgen demo`)" if any("hwgen-demo/" in line for line in lines) else ""
    # Click leaves the lines of a paragraph alone that begins with \b.
    text = "\n".join(["\b", f"{heading}{files}:", *(f"  {line}" for line in lines)])
    return f"{text}\n\n\b\n{MINE}" if any("mine.toml" in line for line in lines) else text
