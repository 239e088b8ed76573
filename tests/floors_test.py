#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The house's own rules, read from the sources.

  floors_test.py floors ROOT              includes go down, every file has its SPDX line
  floors_test.py headers ROOT STD CC...   each public header compiles alone (STD: c99, c++11, ...)

Both first break the rules in a made-up tree and insist that each breach is found.
"""
import os
import re
import subprocess
import sys
import tempfile

# First match wins. name: what the rules below call it.
PLACES = [
    (r"include/lkvm/", 6, "api"),
    (r"src/base/", 0, "base"),
    (r"src/memory\.", 1, "memory"),
    (r"src/hv/", 1, "hv"),
    (r"src/loop/", 1, "loop"),
    (r"src/(bus|irq|coalesce|dt)\.", 2, "bus"),
    (r"src/backend/", 2, "backend"),
    (r"virtio/(queue\w*|chain|device)\.", 3, "virtio core"),
    (r"virtio/transport/", 4, "transport"),
    (r"virtio/", 4, "virtio device"),
    (r"hw/css", 4, "channels"),  # what the bus is to others
    (r"hw/", 4, "hw"),
    (r"arch/", 5, "arch"),
    (r"src/vm/", 6, "vm"),
    (r"src/cli/", 7, "cli"),
]
# Beyond the floors: who may not know whom.
FORBIDDEN = {
    ("virtio device", "transport"), ("virtio device", "hv"), ("virtio core", "hv"),
    ("hw", "transport"), ("hw", "virtio device"), ("channels", "transport"), ("channels", "virtio device"),
    ("transport", "virtio device"), ("transport", "hw"),
}
LIBC = {"stdbool.h", "stddef.h", "stdint.h", "sys/types.h", "stdarg.h", "limits.h"}
SOURCE_DIRS = ["src", "virtio", "hw", "arch", "include"]
SPDX_DIRS = SOURCE_DIRS + ["tests", "tools"]
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def place(path):
    for pattern, floor, name in PLACES:
        if re.match(pattern, path):
            return floor, name
    return None


def is_test(path):
    return path.startswith("tests/") or re.search(r"_(test|fuzz)\.[ch]$", path)


def walk(root, dirs):
    for top in dirs:
        for folder, subdirs, files in os.walk(os.path.join(root, top)):
            subdirs[:] = sorted(d for d in subdirs if not d.startswith("."))
            for name in sorted(files):
                yield os.path.relpath(os.path.join(folder, name), root)


def resolve(root, path, name):
    for folder in (os.path.dirname(path), "src", "", "include"):
        found = os.path.normpath(os.path.join(folder, name))
        if os.path.isfile(os.path.join(root, found)):
            return found
    return None


def check_include(root, path, quote, name):
    """Why `path` may not include `name`, or None."""
    own = place(path)
    if path.startswith("include/"):
        if quote == "<" and name in LIBC:
            return None
        if quote == "<" and name.startswith("lkvm/"):
            return None
        return "a public header includes only libc's and its own"
    if quote == "<":
        if not name.startswith("lkvm/"):
            return None
        target = "include/" + name
    else:
        target = resolve(root, path, name)
        if target is None:
            return "there is no such file"
    other = place(target)
    if own is None or other is None:
        return "%s is on no floor" % (path if own is None else target)
    if own[1] == "cli":
        return None if other[1] in ("cli", "api") else "the command line knows the public API only"
    if other[0] > own[0]:
        return "floor %d (%s) includes from floor %d (%s)" % (own[0], own[1], other[0], other[1])
    if (own[1], other[1]) in FORBIDDEN:
        return "a %s knows no %s" % (own[1], other[1])
    mine, theirs = re.match(r"arch/(\w+)/", path), re.match(r"arch/(\w+)/", target)
    if mine and theirs and mine.group(1) != theirs.group(1):
        return "one architecture knows no other"
    return None


def check_floors(root):
    problems, n = [], 0
    for path in walk(root, SOURCE_DIRS):
        if not path.endswith((".c", ".h")) or is_test(path):
            continue
        n += 1
        with open(os.path.join(root, path), encoding="utf-8", errors="replace") as f:
            for number, line in enumerate(f, 1):
                m = INCLUDE.match(line)
                why = m and check_include(root, path, m.group(1), m.group(2))
                if why:
                    problems.append("%s:%d: %s: %s" % (path, number, m.group(2), why))
    return problems, n


def wants_spdx(root, path):
    if path.endswith((".c", ".h", ".py", ".sh", ".S", ".ld")) or os.path.basename(path) == "meson.build":
        return True
    if "." in os.path.basename(path):
        return False
    with open(os.path.join(root, path), "rb") as f:
        return f.read(2) == b"#!"


def check_spdx(root):
    problems, n = [], 0
    for path in walk(root, SPDX_DIRS):
        full = os.path.join(root, path)
        if os.path.islink(full) or not os.path.isfile(full) or not wants_spdx(root, path):
            continue
        n += 1
        with open(full, encoding="utf-8", errors="replace") as f:
            head = [f.readline() for _ in range(2)]
        if not any("SPDX-License-Identifier: MIT" in line for line in head):
            problems.append("%s: no SPDX-License-Identifier line at its start" % path)
    return problems, n


def check_headers(root, std, cc):
    language = "c++" if "++" in std else "c"
    problems, n = [], 0
    for path in walk(root, ["include"]):
        if not path.endswith(".h"):
            continue
        n += 1
        name = os.path.relpath(path, "include")
        # Twice: it guards itself.
        source = "#include <%s>\n#include <%s>\nint nothing;\n" % (name, name)
        r = subprocess.run(cc + ["-x", language, "-std=" + std, "-Wall", "-Wextra", "-Werror", "-pedantic",
                                 "-I", os.path.join(root, "include"), "-fsyntax-only", "-"],
                           input=source, text=True, capture_output=True)
        if r.returncode:
            problems.append("%s does not compile alone as %s:\n%s" % (path, std, r.stderr))
    return problems, n


def made_up(files):
    root = tempfile.TemporaryDirectory()
    for path, text in files.items():
        full = os.path.join(root.name, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as f:
            f.write(text)
    return root


def expect(what, problems, wanted):
    """Each of `wanted` begins exactly one problem, and there are no others."""
    found = sorted(p.split(": ")[0] for p in problems)
    if found != sorted(wanted):
        sys.exit("negative control (%s): expected %s, found:\n%s" % (what, sorted(wanted), "\n".join(problems)))


def control_floors():
    spdx = "// SPDX-License-Identifier: MIT\n"
    good = {
        "src/base/err.h": "", "src/hv/hv.h": '#include "base/err.h"\n', "src/loop/loop.h": "", "src/bus.h": "",
        "virtio/device.h": '#include "loop/loop.h"\n', "virtio/blk.h": "", "virtio/transport/mmio.h": '#include "hv/hv.h"\n',
        "hw/plic.h": '#include "hv/hv.h"\n', "arch/arch.h": '#include "bus.h"\n', "arch/riscv/riscv.h": "", "src/vm/vm.h": "#include <lkvm/lkvm.h>\n",
        "src/cli/cli.h": "#include <lkvm/lkvm.h>\n", "include/lkvm/lkvm.h": "#include <stdint.h>\n", "src/hv/x_test.c": '#include "vm/vm.h"\n',
    }
    bad = {
        "src/base/a.c": '#include "bus.h"\n', "src/hv/a.c": '#include "bus.h"\n', "src/bus.c": '#  include "arch/arch.h"\n',
        "virtio/queue.c": '#include "hw/plic.h"\n', "virtio/rng.c": '#include "virtio/transport/mmio.h"\n',
        "virtio/net.c": '#include "hv/hv.h"\n', "virtio/transport/pci.c": '#include "virtio/blk.h"\n', "hw/rtc.c": '#include "vm/vm.h"\n',
        "arch/a.c": '#include "vm/vm.h"\n', "arch/arm64/a.c": '#include "arch/riscv/riscv.h"\n', "src/vm/a.c": '#include "cli/cli.h"\n',
        "src/cli/a.c": '#include "base/err.h"\n', "src/base/b.c": "#include <lkvm/lkvm.h>\n", "src/bus_x.c": '#include "bus.h"\n',
        "src/vm/b.c": '#include "missing.h"\n', "include/lkvm/b.h": "#include <linux/kvm.h>\n",
    }
    with made_up({p: spdx + t for p, t in {**good, **bad}.items()}) as root:
        expect("floors", check_floors(root)[0], [p + ":2" for p in bad])
    files = {"src/a.c": spdx, "src/b.c": "int x;\n", "src/c.c": "\n\n\n" + spdx, "tools/d": "#!/bin/sh\n# SPDX-License-Identifier: MIT\n",
             "tools/e": "#!/bin/sh\n", "tests/f.py": "#!/usr/bin/env python3\n", "src/meson.build": "x\n", "tests/data": "text\n"}
    with made_up(files) as root:
        expect("SPDX", check_spdx(root)[0], ["src/b.c", "src/c.c", "tools/e", "tests/f.py", "src/meson.build"])


def control_headers(std, cc):
    files = {"include/lkvm/good.h": "#ifndef G\n#define G\nstruct s { int class_; };\n#endif\n",
             "include/lkvm/alone.h": "uint32_t x(void);\n", "include/lkvm/twice.h": "struct t { int a; };\n"}
    with made_up(files) as root:
        problems, _ = check_headers(root, std, cc)
        expect("headers", [p.split(" ")[0] for p in problems], ["include/lkvm/alone.h", "include/lkvm/twice.h"])


def main():
    what, root = sys.argv[1], sys.argv[2]
    if what == "floors":
        control_floors()
        results = [check_floors(root), check_spdx(root)]
    elif what == "headers":
        std, cc = sys.argv[3], sys.argv[4:]
        probe = subprocess.run(cc + ["-x", "c++" if "++" in std else "c", "-fsyntax-only", "-"], input="int x;\n", text=True, capture_output=True)
        if probe.returncode:
            print("SKIP: %s compiles no %s here" % (" ".join(cc), std))
            sys.exit(77)
        control_headers(std, cc)
        results = [check_headers(root, std, cc)]
    else:
        sys.exit(__doc__)
    problems = [p for r in results for p in r[0]]
    for p in problems:
        print(p, file=sys.stderr)
    print("%s files, %d problems" % (" and ".join(str(r[1]) for r in results), len(problems)))
    sys.exit(bool(problems) or not all(r[1] for r in results))


if __name__ == "__main__":
    main()
