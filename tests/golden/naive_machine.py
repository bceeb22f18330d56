"""A second reading of docs/architecture.md: every command as plain loops that walk, element by element.

Slow and literal on purpose; it shares only the memories (`hwgen.golden.machine_state.State`) with the machine.
"""

from __future__ import annotations

from collections.abc import Iterator

from hwgen.golden.machine_state import State


def cut(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def walk(counts: list[int], deltas: list[list[int]], start: list[int]) -> Iterator[tuple[list[int], list[int]]]:
    """(iteration indices, state) of every element: the innermost level with iterations left advances."""
    index, state = [0] * len(counts), list(start)
    while True:
        yield list(index), list(state)
        for level in reversed(range(len(counts))):
            if index[level] + 1 < counts[level]:
                index[level] += 1
                index[level + 1 :] = [0] * (len(counts) - level - 1)
                state = [s + d for s, d in zip(state, deltas[level], strict=True)]
                break
        else:
            return


def wfetch(s: State, a: dict[str, int]) -> None:
    c, d = s.config, s.derived
    nb, width = d.dma_bytes // d.word, d.word
    rc_count, cc_count = 1 << a["log2_rc"], 1 << a["log2_cc"]
    nbe = min(rc_count, nb)
    q = rc_count // nbe
    address, zero = a["src"], s.registers["WF_ZERO", 0]["zero_point"] if c.weight_bits == 9 else 0
    for g in range(a["groups"]):
        for i in range(a["count"]):
            for row in range(c.rows):
                for column in range(c.columns):
                    if row % rc_count // nbe == g % q and column % cc_count == g // q:
                        for k in range(width):
                            byte = s.weight[address * d.dma_bytes + row % nbe * width + k]
                            value = cut(int(byte), min(8, c.weight_bits)) - zero
                            s.wmem[column, row, a["dst"] + i, k] = value
            address += 1


def afetch(s: State, a: dict[str, int]) -> None:
    c, width = s.config, s.derived.word
    m, col = s.registers["AF_MAP", 0], s.registers["AF_COL", 0]
    levels = [s.registers["AF_LEVEL", i] for i in range(7)]
    for column in range(m["cols"]):
        cp, cc = column >> col["log2_cc"], column % (1 << col["log2_cc"])
        start = [a["y0"] + cp * col["dy"], a["x0"] + cp * col["dx"], a["a0"] + cp * col["da"] + cc * col["cc_da"]]
        at, before, pending = a["dst"], (0, 0), []
        for index, (y, x, address) in walk(
            [v["count"] for v in levels], [[v["dy"], v["dx"], v["da"]] for v in levels], start
        ):
            if (index[0], index[1]) != before:
                before, at = (index[0], index[1]), a["dst"]
            if 0 <= y < m["height"] and 0 <= x < m["width"]:
                word = [cut(int(s.act[address * width + k]), 8) - m["zero_point"] for k in range(width)]
            else:
                word = [m["fill"]] * width
            words = [[cut(v, c.act_bits + 1) for v in word]]
            if m["transpose"]:
                pending.append(words[0])
                words = []
                if len(pending) == width:
                    words, pending = [[pixel[i] for pixel in pending] for i in range(width)], []
            first = index[0] * m["rp_step"] + index[1] * m["rows_len"]
            for word in words:
                for row in range(first, first + m["rows_len"]):
                    s.amem[column, row, at] = word
                at += 1


def run(s: State, a: dict[str, int]) -> None:
    c = s.config
    p_count, b = c.vector, s.registers["BASE", 0]
    for column in range(c.columns):
        for row in range(c.rows):
            w = [int(v) for v in s.wmem[column, row].reshape(-1)]
            act = [int(v) for v in s.amem[column, row].reshape(-1)]
            base = 0
            for t in range(a["rounds"]):
                acc = [int(v) for v in s.acc[column, row, a["acc_base"] + t]] if a["accumulate"] else None
                for g in range(a["seg_first"], a["seg_first"] + a["seg_count"]):
                    r = s.registers["SEGMENT", g]
                    for i in range(r["length"]):
                        v = a["v_base"] + r["v_start"] + i
                        u = (a["s_base"] + base + r["s_offset"] + i * a["s_step"]) % 65536
                        if a["mode"] == 0:
                            product = [w[v * p_count + p] * act[u] for p in range(p_count)]
                        elif a["mode"] == 1:
                            product = [act[v * p_count + p] * w[u] for p in range(p_count)]
                        else:
                            product = [w[v * p_count + p] * act[u * p_count + p] for p in range(p_count)]
                        if acc is None:
                            acc = product
                        elif a["max"]:
                            acc = [max(o, n) for o, n in zip(acc, product, strict=True)]
                        else:
                            acc = [cut(o + n, c.acc_bits) for o, n in zip(acc, product, strict=True)]
                assert acc is not None
                s.acc[column, row, a["acc_base"] + t] = acc
                base += b["dy"] if (t + 1) % b["nx"] == 0 else b["dx"]


def requantise(acc: int, bias: int, multiplier: int, n: int, q: dict[str, int]) -> int:
    p = cut(acc + bias, 32) * multiplier
    two = bool(q["nudge"]) and n >= 8
    h, lost = (((p + 2**30) >> 31) << 8, False) if two else (p >> 23, p % 2**23 != 0)
    final = 0 if q["nudge"] and not two else q["final"]
    if n == 0:
        r = h
    elif final == 2:
        r = (h + 2 ** (n - 1)) >> n
        if h % 2**n == 2 ** (n - 1) and not lost and r % 2:
            r -= 1
    else:
        r = (h + 2 ** (n - 1) - (final == 1 and h < 0 and not lost)) >> n
    return max(q["qmin"], min(q["qmax"], r + q["zero_point"]))


def drain(s: State, a: dict[str, int]) -> None:
    c, d = s.config, s.derived
    q, pipe, vector, np_ = s.registers["PO_QUANT", 0], s.registers["PO_PIPE", 0], c.vector, d.pipes
    levels = [s.registers["PO_LEVEL", i] for i in range(7)]
    counts = [v["count"] for v in levels]
    rc_count, cc_count = 1 << q["log2_rc"], 1 << q["log2_cc"]

    def parameters(address: int, channel: int) -> tuple[int, int, int]:
        if q["scalar"]:
            r = s.registers["PO_SCALAR", 0]
            return r["bias"], r["multiplier"], r["shift"]
        raw = bytes(s.param[address * d.dma_bytes : address * d.dma_bytes + 9 * vector])
        at = 4 * channel
        return (
            int.from_bytes(raw[at : at + 4], "little", signed=True),
            int.from_bytes(raw[4 * vector + at : 4 * vector + at + 4], "little"),
            raw[8 * vector + channel],
        )

    for i, state in walk(
        counts, [[v["dy"], v["dx"], v["da"], v["dp"]] for v in levels], [a["y0"], a["x0"], a["a0"], a["param"]]
    ):
        for j in range(np_):
            y, x, address, param = (v + j * pipe[k] for v, k in zip(state, ("dy", "dx", "da", "dp"), strict=True))
            column, row = i[2] * max(cc_count, np_) + i[0] * np_ + j, i[3] * rc_count + i[1]
            if not (0 <= y < q["height"] and 0 <= x < q["width"]):
                continue
            if cc_count >= np_ > 1 and i[0] * np_ + j >= q["cc_valid"]:
                continue
            inside = i[5] * counts[6] + i[6]
            for p in range(vector):
                if not a["mask"] >> p & 1:
                    continue
                if q["transpose"]:
                    acc = s.acc[column, row, a["acc_base"] + i[4] * vector + p, inside]
                else:
                    acc = s.acc[column, row, a["acc_base"] + i[4] * counts[5] * counts[6] + inside, p]
                s.act[address * vector + p] = requantise(int(acc), *parameters(param, p), q) & 255


def eltwise(s: State, a: dict[str, int]) -> None:
    q, o, r, vector = s.registers["PO_QUANT", 0], s.registers["PO_ADD", 0], s.registers["PO_SCALAR", 0], s.config.vector
    levels = [s.registers["PO_LEVEL", i] for i in (4, 5, 6)]
    sources = [s.registers["PO_SOURCE", i] for i in (4, 5, 6)]
    before = s.act.copy()
    for _, (out, source) in walk(
        [v["count"] for v in levels], [[v["da"], w["ds"]] for v, w in zip(levels, sources, strict=True)], [a["out"], 0]
    ):
        for p in range(vector):
            if not a["mask"] >> p & 1:
                continue
            acc = cut(int(before[(a["a"] + source) * vector + p]), 8) - o["zp_a"]
            if o["add"]:
                b = (cut(int(before[(a["b"] + source) * vector + p]), 8) - o["zp_b"]) * o["multiplier_b"]
                h = (b + 2**10) >> 11
                magnitude = (abs(h) + ((1 << o["shift_b"]) >> 1)) >> o["shift_b"]
                acc = (acc << 19) + (magnitude if h >= 0 else -magnitude)
            s.act[out * vector + p] = requantise(acc, r["bias"], r["multiplier"], r["shift"], q) & 255


COMMANDS = {"WFETCH": wfetch, "AFETCH": afetch, "RUN": run, "DRAIN": drain, "ELTWISE": eltwise}
