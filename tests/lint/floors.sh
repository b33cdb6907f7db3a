#!/bin/bash
# Compares every #include with the table of floors: a row a folder, what it may see of ours and
# which libraries' headers it may name. The longest folder that fits counts.
set -euo pipefail
. tests/lint/files.sh

lint_files '*.c' '*.h' '*.def' | grep -v '^tests/' | xargs grep -HnE '^ *# *include' /dev/null |
    awk '
    function row(folder, ours, theirs) { allowed[folder] = ours; libraries[folder] = theirs }
    BEGIN {
        row("store/base/",       "store/base/", "jansson")
        row("store/crypto/",     "store/crypto/ store/base/", "sodium")
        row("store/dag/",        "store/dag/ store/crypto/ store/base/", "")
        row("store/crdt/",       "store/crdt/ store/dag/ store/base/ store/crypto/", "jansson")
        row("store/replica/",    "store/replica/ store/crdt/ store/dag/ store/base/ store/crypto/", "jansson")
        row("store/replica/export_pack.", "store/replica/", "zstd")
        row("store/sync/",       "store/sync/ store/dag/ store/base/ store/crypto/", "")
        row("store/kv/",         "store/kv/ store/base/", "")
        row("store/kv/leveldb.", "store/kv/ store/base/", "leveldb")
        row("store/repo/",       "store/", "jansson zstd")
        row("protos/",           "protos/ store/base/", "protobuf-c")
        row("actors/runtime/",   "actors/runtime/ protos/ store/base/", "czmq zmq")
        row("actors/client/",    "actors/client/ protos/ store/base/", "czmq zmq")
        row("broker/",           "broker/ actors/runtime/ protos/ store/base/", "czmq zmq zstd")
        row("bins/",             "bins/ actors/ broker/ protos/ store/", "jansson zlib")
        row("bins/bench/",       "bins/ actors/ protos/ store/", "jansson zlib zmq")
        split("store peers transport retry gateway", names, " ")
        for (i in names)
            row("actors/" names[i] "/", "actors/" names[i] "/ actors/runtime/ protos/ store/",
                names[i] == "transport" ? "czmq zmq zstd" : "jansson")
        known = "jansson sodium leveldb zstd protobuf-c czmq zmq zlib curl microhttpd"
    }
    {
        split($0, part, ":"); file = part[1]; line = part[2]
        text = substr($0, length(file) + length(line) + 3)
        best = ""
        for (folder in allowed)
            if (index(file, folder) == 1 && length(folder) > length(best)) best = folder
        if (best == "") { print file ": stands on no floor (tests/lint/floors.sh)"; bad = 1; next }
        if (match(text, /"[^"]*"/)) {
            path = substr(text, RSTART + 1, RLENGTH - 2); good = 0
            n = split(allowed[best], prefix, " ")
            for (i = 1; i <= n; i++) if (index(path, prefix[i]) == 1) good = 1
            if (!good) { print file ":" line ": " best " may not include " path; bad = 1 }
        } else if (match(text, /<[^>]*>/)) {
            name = substr(text, RSTART + 1, RLENGTH - 2)
            sub(/[\/.].*/, "", name)
            if (index(" " known " ", " " name " ") && !index(" " libraries[best] " ", " " name " ")) {
                print file ":" line ": " best " may not use <" name ">"; bad = 1
            }
        }
    }
    END { exit bad }'
