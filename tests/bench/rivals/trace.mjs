// Loads editing traces (three formats, gzip or plain) and plans their replay. The same plan as
// bins/bench/trace.c makes, so that all engines are given the same work:
//
//   - A transaction is split where another's parent points into it, and stretches of
//     transactions that nobody else refers to are joined.
//   - A lane is a stretch of one agent's events in the order of their numbers, as long as each
//     has the one before in its past. Lanes are ordered by (agent, seq).
//   - Each lane has one document. A lane's first document is a copy of the one that holds the
//     most of its past and nothing else. Before a stretch is typed, the document imports, as one
//     batch, the stretches that it lacks.

import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

const scalars = (text) => {
    let n = 0;
    for (let i = 0; i < text.length; i++) {
        const c = text.charCodeAt(i);
        n += c >= 0xdc00 && c <= 0xdfff ? 0 : 1;
    }
    return n;
};

const hasAstral = (text) => /[\u{10000}-\u{10ffff}]/u.test(text);

function fromSequential (data) {
    if (data.startContent) {
        throw new Error("startContent is not empty");
    }
    const patches = [];
    for (const txn of data.txns) {
        for (const patch of txn.patches) {
            patches.push([patch[0], patch[1], patch[2]]);
        }
    }
    return [{ agent: "0", seq: 0, parents: [], patches }];
}

function fromConcurrent (data) {
    const seqs = new Map();
    return data.txns.map((txn) => {
        const size = txn.patches.reduce((n, p) => n + p[1] + scalars(p[2]), 0);
        const seq = seqs.get(txn.agent) ?? 0;
        seqs.set(txn.agent, seq + size);
        return { agent: txn.agent, seq, size, parents: txn.parents, patches: txn.patches };
    });
}

// Cuts a transaction's patches in front of its `at`-th event.
function cut (patches, at) {
    const head = [];
    const tail = [];
    let n = 0;
    for (const [pos, deleted, inserted] of patches) {
        const chars = [...inserted];
        const size = deleted + chars.length;
        if (n + size <= at) {
            head.push([pos, deleted, inserted]);
        } else if (n >= at) {
            tail.push([pos, deleted, inserted]);
        } else if (at - n <= deleted) {
            head.push([pos, at - n, ""]);
            tail.push([pos, deleted - (at - n), inserted]);
        } else {
            const k = at - n - deleted;
            head.push([pos, deleted, chars.slice(0, k).join("")]);
            tail.push([pos + k, 0, chars.slice(k).join("")]);
        }
        n += size;
    }
    return [head, tail];
}

function fromGraph (data) {
    const starts = new Set();
    for (const txn of data.txns) {
        starts.add(txn.span[0]);
        txn.parents.forEach((p) => starts.add(p + 1));
    }
    const sorted = [...starts].sort((a, b) => a - b);
    const endAt = new Map(); // the last event of a transaction -> its number
    const txns = [];
    let next = 0;
    for (const txn of data.txns) {
        let [from, to] = txn.span;
        let { parents, seqStart: seq, ops } = txn;
        while (next < sorted.length && sorted[next] <= from) {
            next++;
        }
        parents = parents.map((p) => endAt.get(p));
        for (let i = next; i <= sorted.length; i++) {
            const end = i < sorted.length && sorted[i] < to ? sorted[i] : to;
            const [head, tail] = cut(ops, end - from);
            endAt.set(end - 1, txns.length);
            txns.push({ agent: txn.agent, seq, size: end - from, parents, patches: head });
            parents = [txns.length - 1];
            seq += end - from;
            from = end;
            ops = tail;
            if (end === to) {
                break;
            }
        }
    }
    return txns;
}

function compareAgents (a, b) {
    if (typeof a === "number" && typeof b === "number") {
        return a - b;
    }
    return Buffer.compare(Buffer.from(String(a)), Buffer.from(String(b)));
}

// Is `what` in the past of `txn`? Parents come before children.
function inPast (txns, txn, what) {
    const seen = new Set();
    const todo = [...txns[txn].parents];
    while (todo.length > 0) {
        const i = todo.pop();
        if (i === what) {
            return true;
        }
        if (i > what && !seen.has(i)) {
            seen.add(i);
            todo.push(...txns[i].parents);
        }
    }
    return false;
}

// Gives each transaction its lane; the number of lanes.
function setLanes (txns) {
    const agents = new Map();
    txns.forEach((t, i) => {
        if (!agents.has(t.agent)) {
            agents.set(t.agent, []);
        }
        agents.get(t.agent).push(i);
    });
    let lanes = 0;
    for (const agent of [...agents.keys()].sort(compareAgents)) {
        const own = agents.get(agent).sort((a, b) => txns[a].seq - txns[b].seq);
        own.forEach((i, k) => {
            if (k === 0 || !inPast(txns, i, own[k - 1])) {
                lanes++;
            }
            txns[i].lane = lanes - 1;
        });
    }
    return lanes;
}

// Joins what nobody else refers to.
function join (txns) {
    const children = txns.map(() => 0);
    txns.forEach((t) => t.parents.forEach((p) => children[p]++));
    const number = [];
    const out = [];
    for (const t of txns) {
        const p = t.parents[0];
        if (t.parents.length === 1 && txns[p].lane === t.lane && children[p] === 1) {
            const into = number[p];
            t.patches.forEach((patch) => out[into].patches.push(patch));
            number.push(into);
        } else {
            number.push(out.length);
            out.push({ ...t, parents: t.parents.map((q) => number[q]),
                       patches: [...t.patches] });
        }
    }
    // A stretch may be numbered before a parent of a later part: there is none, its only parent
    // is its own beginning.
    return out;
}

// steps: [{txn, lane, copyOf (a lane, or -1), imports: [txn], drop: [lane]}]
function plan (txns, lanes) {
    const held = new Array(lanes).fill(null); // by lane: which transactions its document holds
    const steps = [];
    txns.forEach((t, i) => {
        const step = { txn: i, lane: t.lane, copyOf: -1, imports: [], drop: [] };
        if (held[t.lane] === null) {
            const past = new Uint8Array(txns.length);
            const todo = [...t.parents];
            while (todo.length > 0) {
                const p = todo.pop();
                if (!past[p]) {
                    past[p] = 1;
                    todo.push(...txns[p].parents);
                }
            }
            let most = 0;
            held.forEach((h, lane) => {
                let n = 0;
                for (let k = 0; h !== null && k < i; k++) {
                    if (h[k] && !past[k]) {
                        return;
                    }
                    n += h[k];
                }
                if (n > most) {
                    most = n;
                    step.copyOf = lane;
                }
            });
            held[t.lane] = step.copyOf < 0 ? new Uint8Array(txns.length)
                                           : held[step.copyOf].slice();
        }
        const own = held[t.lane];
        const todo = [...t.parents];
        while (todo.length > 0) {
            const p = todo.pop();
            if (!own[p]) {
                own[p] = 1;
                step.imports.push(p);
                todo.push(...txns[p].parents);
            }
        }
        step.imports.sort((a, b) => a - b);
        own[i] = 1;
        steps.push(step);
    });
    const last = new Array(lanes).fill(-1);
    steps.forEach((s, i) => {
        last[s.lane] = i;
        if (s.copyOf >= 0) {
            last[s.copyOf] = i;
        }
    });
    last.forEach((i, lane) => steps[i].drop.push(lane));
    return steps;
}

// By lane: is its last stretch nobody's parent?
function findEnds (txns, lanes) {
    const last = new Array(lanes).fill(-1);
    const isParent = new Uint8Array(txns.length);
    txns.forEach((t, i) => {
        last[t.lane] = i;
        t.parents.forEach((p) => {
            isParent[p] = 1;
        });
    });
    return last.map((i) => !isParent[i]);
}

function prepare (data, format) {
    const from = { sequential: fromSequential, concurrent: fromConcurrent, graph: fromGraph };
    let txns = from[format](data);
    const lanes = setLanes(txns);
    txns = join(txns);
    let events = 0;
    let astral = false;
    for (const t of txns) {
        for (const p of t.patches) {
            events += p[1] + scalars(p[2]);
            astral ||= hasAstral(p[2]);
        }
    }
    return { txns, lanes, steps: plan(txns, lanes), isEnd: findEnds(txns, lanes), events, astral,
             end: data.endContent };
}

// {format, cases: [{txns, lanes, steps, isEnd, events, astral, end}]}
export function load (file) {
    let bytes = readFileSync(file);
    if (bytes[0] === 0x1f && bytes[1] === 0x8b) {
        bytes = gunzipSync(bytes);
    }
    const data = JSON.parse(bytes.toString("utf8"));
    const all = Array.isArray(data) ? data : [data];
    const kind = (d) => (d.kind === "concurrent" ? "concurrent"
        : d.txns.length > 0 && "span" in d.txns[0] ? "graph" : "sequential");
    return { format: kind(all[0]), cases: all.map((d) => prepare(d, kind(d))) };
}
