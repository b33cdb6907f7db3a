// Replays editing traces in loro-crdt and yjs: one line of JSON for each (trace, rival).
//
//   apply_ms  the steps of the plan (trace.mjs): local edits, copies of documents for new lanes,
//             and imports of what a document lacks. Each stretch is exported once, as an update,
//             when it is made and somebody will import it. A sequential trace is edits alone.
//   merge_ms  the whole history, as an update in memory, into an empty document, to its text
//   load_ms   a saved snapshot, to its text
//   bytes     of that update; snapshot_bytes of the snapshot
//   ok        whether the text equals endContent (yjs orders concurrent siblings otherwise)
//
// All are the best of --runs, but for applies of more than 20 s, which are not repeated, and an
// array of traces, which counts as one: sums of one run each; `right` says how many were.
// Each rival is used as is best for it: Loro commits once a stretch; in yjs a stretch is one
// transaction. Positions are UTF-16 before the clock starts.

import { basename } from "node:path";
import { parseArgs } from "node:util";
import { LoroDoc } from "loro-crdt";
import * as Y from "yjs";
import { load } from "./trace.mjs";

const loro = {
    name: "loro-crdt",
    open (lane) {
        const doc = new LoroDoc();
        doc.setPeerId(BigInt(lane + 1));
        return { doc, text: doc.getText("t"), made: 0, lane };
    },
    edit (d, patches) {
        const { text } = d;
        for (const [pos, deleted, inserted] of patches) {
            if (deleted > 0) {
                text.delete(pos, deleted);
            }
            if (inserted.length > 0) {
                text.insert(pos, inserted);
            }
        }
        d.doc.commit();
    },
    // Makes one stretch, and gives it as an update.
    send (d, patches) {
        const from = d.doc.oplogVersion();
        this.edit(d, patches);
        const update = d.doc.export({ mode: "update", from });
        from.free();
        return update;
    },
    receive (d, updates) {
        if (updates.length === 1) {
            d.doc.import(updates[0]);
        } else {
            d.doc.importBatch(updates);
        }
    },
    copy (d, lane) {
        const doc = d.doc.fork();
        doc.setPeerId(BigInt(lane + 1));
        return { doc, text: doc.getText("t"), lane };
    },
    text: (d) => d.text.toString(),
    update: (d) => d.doc.export({ mode: "update" }),
    snapshot: (d) => d.doc.export({ mode: "snapshot" }),
    read (bytes) {
        const doc = new LoroDoc();
        doc.import(bytes);
        const text = doc.getText("t");
        return [text.toString(), { doc, text }];
    },
    // The handle of a text keeps its document's memory, too.
    close (d) {
        d.text.free();
        d.doc.free();
    },
};

const yjs = {
    name: "yjs",
    open (lane) {
        const doc = new Y.Doc();
        doc.clientID = lane + 1;
        return { doc, text: doc.getText("t"), lane };
    },
    edit (d, patches) {
        const { text } = d;
        d.doc.transact(() => {
            for (const [pos, deleted, inserted] of patches) {
                if (deleted > 0) {
                    text.delete(pos, deleted);
                }
                if (inserted.length > 0) {
                    text.insert(pos, inserted);
                }
            }
        });
    },
    send (d, patches) {
        let update = null;
        const hear = (bytes) => {
            update = bytes;
        };
        d.doc.on("update", hear);
        this.edit(d, patches);
        d.doc.off("update", hear);
        return update;
    },
    // A stretch without effect (its positions are beyond the end) sends nothing.
    receive (d, updates) {
        d.doc.transact(() => updates.filter((u) => u !== null)
            .forEach((u) => Y.applyUpdate(d.doc, u)));
    },
    copy (d, lane) {
        const doc = new Y.Doc();
        Y.applyUpdate(doc, Y.encodeStateAsUpdate(d.doc));
        doc.clientID = lane + 1;
        return { doc, text: doc.getText("t"), lane };
    },
    text: (d) => d.text.toString(),
    update: (d) => Y.encodeStateAsUpdate(d.doc),
    snapshot: (d) => Y.encodeStateAsUpdate(d.doc),
    read (bytes) {
        const doc = new Y.Doc();
        Y.applyUpdate(doc, bytes);
        return [doc.getText("t").toString(), { doc }];
    },
    close: (d) => d.doc.destroy(),
};

// Which stretches anybody imports: only those are exported on their own.
function wanted (trace) {
    const out = new Uint8Array(trace.txns.length);
    trace.steps.forEach((s) => s.imports.forEach((i) => {
        out[i] = 1;
    }));
    return out;
}

// Plays the steps; `convert` changes a stretch's patches to UTF-16 just before they are made.
// Gives the documents whose last stretch nobody built on: together they hold everything.
function play (rival, trace, sends, convert) {
    const docs = new Array(trace.lanes).fill(null);
    const updates = [];
    const ends = [];
    for (const step of trace.steps) {
        if (docs[step.lane] === null) {
            docs[step.lane] = step.copyOf < 0 ? rival.open(step.lane)
                : rival.copy(docs[step.copyOf], step.lane);
        }
        const d = docs[step.lane];
        if (step.imports.length > 0) {
            rival.receive(d, step.imports.map((i) => updates[i]));
        }
        const { patches } = trace.txns[step.txn];
        if (convert !== undefined) {
            convert(d, patches);
        } else if (sends[step.txn]) {
            updates[step.txn] = rival.send(d, patches);
        } else {
            rival.edit(d, patches);
        }
        if (convert !== undefined && sends[step.txn]) {
            updates[step.txn] = rival.send(d, []);
        }
        for (const lane of step.drop) {
            if (trace.isEnd[lane]) {
                ends.push(docs[lane]);
            } else {
                rival.close(docs[lane]);
            }
            docs[lane] = null;
        }
    }
    return ends;
}

function toUtf16 (trace, sends) {
    if (!trace.astral) {
        return;
    }
    play({ ...loro, send: (d) => d.sent }, trace, sends, (d, patches) => {
        const from = d.doc.oplogVersion();
        for (const p of patches) {
            const at = d.text.convertPos(p[0], "unicode", "utf16");
            const to = d.text.convertPos(p[0] + p[1], "unicode", "utf16");
            [p[0], p[1]] = [at, to - at];
            loro.edit(d, [p]);
        }
        d.sent = d.doc.export({ mode: "update", from });
    }).forEach(loro.close);
}

// Everything in one document, untimed.
function gather (rival, trace, ends) {
    if (ends.length === 1) {
        return ends[0];
    }
    const all = rival.open(trace.lanes);
    rival.receive(all, ends.map((d) => rival.update(d)));
    return all;
}

// Collects garbage first, so that nobody pays for what went before; not among very many.
function timed (fn, tidy) {
    if (tidy) {
        globalThis.gc();
    }
    const began = performance.now();
    const result = fn();
    return [performance.now() - began, result];
}

function measure (rival, trace, runs, tidy) {
    const sends = wanted(trace);
    toUtf16(trace, sends);
    const best = { apply_ms: Infinity, merge_ms: Infinity, load_ms: Infinity, bytes: 0,
                   snapshot_bytes: 0, ok: true };
    let all = null;
    for (let run = 0; run < runs; run++) {
        const [ms, ends] = timed(() => play(rival, trace, sends), tidy);
        best.apply_ms = Math.min(best.apply_ms, ms);
        if (run === 0) {
            all = gather(rival, trace, ends);
            ends.filter((d) => d !== all).forEach(rival.close);
        } else {
            ends.forEach(rival.close);
        }
        if (ms > 20000) {
            break; // minutes: once is enough
        }
    }
    const update = rival.update(all);
    const snapshot = rival.snapshot(all);
    best.bytes = update.length;
    best.snapshot_bytes = snapshot.length;
    best.ok = rival.text(all) === trace.end;
    rival.close(all);
    for (const [what, bytes] of [["merge_ms", update], ["load_ms", snapshot]]) {
        for (let run = 0; run < runs; run++) {
            const [ms, [text, d]] = timed(() => rival.read(bytes), tidy);
            best[what] = Math.min(best[what], ms);
            best.ok &&= text === trace.end;
            rival.close(d);
        }
    }
    return best;
}

const { values, positionals } = parseArgs({
    options: { runs: { type: "string", default: "5" }, rival: { type: "string" } },
    allowPositionals: true,
});
for (const file of positionals) {
    for (const rival of [loro, yjs]) {
        if (values.rival !== undefined && !rival.name.startsWith(values.rival)) {
            continue;
        }
        const { format, cases } = load(file);
        const line = { trace: basename(file).replace(/\.json(\.gz)?$/, ""), format,
                       rival: rival.name, events: 0, apply_ms: 0, merge_ms: 0, load_ms: 0,
                       bytes: 0, snapshot_bytes: 0, ok: true, cases: cases.length, right: 0 };
        for (const trace of cases) {
            const best = measure(rival, trace, cases.length === 1 ? Number(values.runs) : 1,
                                 cases.length === 1);
            for (const key of ["apply_ms", "merge_ms", "load_ms", "bytes", "snapshot_bytes"]) {
                line[key] += best[key];
            }
            line.events += trace.events;
            line.right += best.ok ? 1 : 0;
            line.ok &&= best.ok;
        }
        for (const key of ["apply_ms", "merge_ms", "load_ms"]) {
            line[key] = Number(line[key].toFixed(3));
        }
        console.log(JSON.stringify(line));
    }
}
