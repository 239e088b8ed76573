#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""table.py FOLDER JSON: makes the benchmark's table of what the emulated host left in FOLDER; prints Markdown."""
import itertools
import json
import os
import random
import re
import statistics
import sys

MIB = 1 << 20

# Of kvmtool (2024-08, static), measured earlier on a riscv64 host; it is in no Debian package.
RECORDED = {"instructions": 9e6, "memory": 3.4 * MIB, "size": 2.9e6, "exits1": 5, "threads": 11}

ROWS = [  # key, what, reach, unit
    ("instructions", "instructions, exec to exit of a guest that powers off at once (1 vCPU, 256 MiB, 1 disk)", "at most 2.5 M", "M"),
    ("memory", "memory beside guest RAM (2-vCPU Linux up, disk and net)", "at most 1 MiB", "MiB"),
    ("threads", "threads meanwhile", "", "n"),
    ("size", "the program (lkvm and kvmtool: stripped, static; QEMU: without its libraries)", "at most 400 KiB", "KiB"),
    ("boot-init-after", "exec to init, Debian's kernel", "less than the others", "time"),
    ("boot-init", "guest kernel start to init, by its own clock", "less than the others", "time"),
    ("read-qd1", "4 KiB random read, QD1, each", "half of the others", "time"),
    ("read-qd32", "4 KiB random read, QD32, each", "half of the others", "time"),
    ("irq", "an interrupt taken, claimed, served and completed, beside the device's own accesses", "a fifth of the PLIC in user space", "time"),
    ("exits-irq", "exits to user space per interrupt, of the interrupt controller", "0", "x"),
    ("kvm-sbi", "a null SBI call", "less than the others", "each"),
    ("kvm-mmio-write", "a store to MMIO, to user space and back", "less than the others", "each"),
    ("kvm-mmio-read", "a load from MMIO, to user space and back", "less than the others", "each"),
    ("kvm-fault-4k", "stage-2 fault of 4 KiB, the page is there in the host", "less than the others", "each"),
    ("kvm-fault-2m", "stage-2 fault of 2 MiB, likewise (hugetlb)", "not more", "each"),
    ("kvm-timer", "a timer that has expired: set, taken, set to never", "not more", "each"),
    ("kvm-timer-asleep", "from a timer's deadline to its handler, guest asleep", "not more", "each"),
    ("kvm-ipi", "an IPI to a vCPU that sleeps, on the same hart, and the switch to its thread", "not more", "each"),
    ("kvm-switch", "an MMIO exit, two VMs in turns on one hart, without floating point", "not more", "each"),
    ("kvm-switch-fp", "the same, floating point registers in use", "not more", "each"),
    ("exits1", "exits to user space per request, QD1", "at most 2", "x"),
    ("exits32", "exits to user space per request, QD32", "under 1", "x"),
]


def beside_ram(path, ram):
    """Resident bytes of all mappings but guest RAM: the run of neighbours, of one kind, that is as large as it."""
    maps = []
    for line in open(path):
        m = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+\s*(.*)", line)
        if m:
            maps.append([int(m[1], 16), int(m[2], 16), m[3], m[4].strip(), 0])
        elif line.startswith("Rss:"):
            maps[-1][4] = int(line.split()[1]) << 10
    runs = []
    for m in maps:
        if runs and runs[-1][-1][1] == m[0] and runs[-1][-1][2:4] == m[2:4] and m[3] == "":
            runs[-1].append(m)
        else:
            runs.append([m])
    largest = max(runs, key=lambda r: max(m[1] - m[0] for m in r))
    # Within the run, what is not smaller than a page table's reach is RAM; smaller neighbours are counted as ours.
    beside = sum(m[4] for r in runs if r is not largest for m in r)
    inside = sorted(largest, key=lambda m: m[1] - m[0], reverse=True)
    covered = 0
    for m in inside:
        if covered < ram:
            covered += m[1] - m[0]
        else:
            beside += m[4]
    return beside


def permutation(a, b):
    """Two-sided p of the difference of means."""
    diff, pool, n = abs(statistics.mean(a) - statistics.mean(b)), a + b, len(a)
    if len(pool) <= 12:
        picks = list(itertools.combinations(range(len(pool)), n))
    else:
        rng = random.Random(1)
        picks = [rng.sample(range(len(pool)), n) for _ in range(5000)]
    hits = 0
    for pick in picks:
        x = [pool[i] for i in pick]
        y = [pool[i] for i in range(len(pool)) if i not in set(pick)]
        hits += abs(statistics.mean(x) - statistics.mean(y)) >= diff * (1 - 1e-9)
    return hits / len(picks)


def show(value, unit, icount):
    if value is None:
        return ""
    if unit == "M":
        return "%.2f M" % (value / 1e6) if icount else "%.1f ms" % (value / 1e6)
    if unit == "MiB":
        return "%.2f MiB" % (value / MIB)
    if unit == "KiB":
        return "%.0f KiB" % (value / 1024)
    if unit == "time":
        if icount:
            return "%.2f G instr." % (value / 1e9) if value > 1e8 else "%.1f k instr." % (value / 1e3)
        return "%.2f s" % (value / 1e9) if value > 1e8 else "%.1f us" % (value / 1e3)
    if unit == "each":
        return "%d instr." % value if icount else "%.2f us" % (value / 1e3)
    if unit == "x":
        return "%.2f" % value
    return "%d" % value


def main():
    folder, out = sys.argv[1:3]
    settings = json.load(open(os.path.join(folder, "bench.json")))
    icount, vmms = settings["icount"], settings["vmms"]
    raw, failed = {}, []
    for line in open(os.path.join(folder, "results")):
        figure, vmm, value = (line.split(None, 2) + ["", ""])[:3]
        if figure == "failed":
            failed.append(line.strip())
        elif re.fullmatch(r"-?\d+(\.\d+)?\s*", value):
            raw.setdefault(figure, {}).setdefault(vmm, []).append(float(value))
    figures = {}
    for key in ("instructions", "boot-init-after", "boot-init", "read-qd1", "read-qd32"):
        if key in raw:
            figures[key] = raw[key]
    for key, name in (("exits1", "read-exits-qd1-"), ("exits32", "read-exits-qd32-"), ("exits-irq", "irq-exits-")):
        for vmm in vmms:
            start, end = raw.get(name + "start", {}).get(vmm, []), raw.get(name + "end", {}).get(vmm, [])
            if start and len(start) == len(end):
                figures.setdefault(key, {})[vmm] = [(b - a) / settings["reads"] for a, b in zip(start, end)]
    for vmm, each in raw.get("irq-each", {}).items():
        figures.setdefault("irq", {})[vmm] = [a - b for a, b in zip(each, raw["irq-none"][vmm])]
    figures.update((key, values) for key, values in raw.items() if key.startswith("kvm-"))
    if "memory-threads" in raw:
        figures["threads"] = raw["memory-threads"]
    for vmm in vmms:
        path = os.path.join(folder, "smaps." + vmm)
        if os.path.exists(path):
            figures.setdefault("memory", {})[vmm] = [beside_ram(path, 256 * MIB)]
        if settings["size"].get(vmm):
            figures.setdefault("size", {})[vmm] = [settings["size"][vmm]]

    columns = list(vmms)
    recorded = "lkvm" in vmms and "kvmtool" not in vmms and settings.get("arch", "riscv64") == "riscv64"
    print("| figure | reach | " + " | ".join(columns + (["kvmtool (recorded)"] if recorded else [])) + " |")
    print("|" + " --- |" * (2 + len(columns) + recorded))
    report = {}
    for key, what, reach, unit in ROWS:
        if key not in figures:
            continue
        cells = []
        for vmm in columns:
            values = figures[key].get(vmm)
            if not values:
                cells.append("")
                continue
            median = statistics.median(values)
            entry = report.setdefault(key, {"what": what, "vmm": {}})["vmm"].setdefault(vmm, {})
            entry.update(median=median, min=min(values), max=max(values), values=values)
            cell = show(median, unit, icount)
            spread = (max(values) - min(values)) / 2 / median if median else 0
            if len(values) > 1 and spread >= 0.005:
                cell += " ±%.0f %%" % (100 * spread) if spread >= 0.01 else " ±0.5 %"
            if vmm != columns[0] and figures[key].get(columns[0]):
                ours = statistics.median(figures[key][columns[0]])
                if ours:
                    entry["ratio"] = median / ours
                    cell += " (%.1f×" % (median / ours)
                    if len(values) > 2:
                        entry["p"] = permutation(figures[key][columns[0]], values)
                        cell += ", p %.2g" % entry["p"]
                    cell += ")"
            cells.append(cell)
        if recorded:
            cells.append(show(RECORDED.get(key), unit, True))
        print("| %s | %s | %s |" % (what, reach, " | ".join(cells)))
    report = {"settings": settings, "figures": report, "failed": failed}
    with open(out, "w") as f:
        json.dump(report, f, indent=1)
        f.write("\n")
    for line in failed:
        print("\n" + line)
    return 1 if failed else 0


sys.exit(main())
