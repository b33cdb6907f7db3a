// The same work in y-websocket, hocuspocus and automerge-repo that `weir bench through` does:
// client A, a server and client B, a process each, over loopback. One line of JSON a case.
//
// run-sync.sh runs all. By hand:
//
//   node sync.mjs --system NAME --case CASE [--updates N] [--documents N] [--seconds MAX]
//
//   live       one-key updates one by one: from before A's set to B's callback; the next follows
//              when B has the last. Percentiles.
//   burst      A sets N keys, an update each, as fast as its system takes them (it lets go of the
//              event loop every 100, or nothing would leave it); until B has the last.
//   reconnect  A has N unchanged documents, disconnects, connects: until all are known to be in
//              step, and the bytes that took both ways.
//   triangle   three nodes, each with the other two: until both others have the last of N.
//
// A case that takes longer than --seconds is told as it stood ("finished": false).

import { fork } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { WebSocket } from "ws";
import { systems } from "./sync-systems.mjs";

const { values: options } = parseArgs({ options: {
    system: { type: "string" }, case: { type: "string" }, role: { type: "string" },
    updates: { type: "string", default: "10000" }, documents: { type: "string", default: "1000" },
    seconds: { type: "string", default: "300" },
} });
const updates = Number(options.updates);
const documents = Number(options.documents);
const now_us = () => Number(process.hrtime.bigint() / 1000n);
const key = (i) => `k${String(i).padStart(8, "0")}`;
const system = systems[options.system];

// ---- a process of the case: does what it is told over IPC ----

let sent_bytes = 0;

const countSent = () => {
    const { send } = WebSocket.prototype;
    WebSocket.prototype.send = function (data, ...rest) {
        sent_bytes += data.byteLength ?? data.length;
        return send.call(this, data, ...rest);
    };
};

const turn = () => new Promise((resolve) => { setImmediate(resolve); });

const burst = async (doc, text) => {
    const began = now_us();
    for (let i = 0; i < updates; i++) {
        doc.set(key(i), text + i);
        if (i % 100 === 99) {
            await turn();
        }
    }
    return { began, ended: now_us() };
};

const role = async () => {
    let server;
    let client;
    let doc;
    const last = key(updates - 1);
    const commands = {
        server: async ({ port, dir }) => { server = await system.server(port, dir); },
        forget: async () => { server?.forget?.(); },
        heard: async ({ n }) => {
            await server?.heard?.(n);
            return { at: now_us() };
        },
        client: async ({ port }) => { client = await system.client(port); },
        node: async ({ port, to }) => { client = await system.node(port, to); },
        open: async ({ name }) => {
            doc = await client.open(name);
            return { name: doc.name };
        },
        many: async () => {
            for (let i = 0; i < documents; i++) {
                const one = await client.open(options.system === "automerge-repo"
                    ? undefined : `document-${i}`);
                one.set("k", String(i));
            }
        },
        watch: async () => {
            doc.onKey((k, value) => {
                if (options.case === "live") {
                    process.send({ event: "seen", k, us: now_us() - Number(value.split(" ")[0]) });
                } else if (k === last) {
                    process.send({ event: "last", at: now_us() });
                }
            });
        },
        set: async ({ i, text }) => { doc.set(key(i), `${now_us()} ${text}`); },
        burst: async ({ text }) => burst(doc, text),
        size: async () => ({ size: doc.size() }),
        sent: async () => ({ bytes: sent_bytes }),
        disconnect: async () => { await client.disconnect(); },
        reconnect: async () => {
            const began = now_us();
            await client.reconnect();
            return { began, ended: now_us() };
        },
    };
    countSent();
    process.on("message", async ({ id, command, ...args }) => {
        process.send({ id, ...await commands[command](args) });
    });
    process.on("disconnect", () => process.exit(0));
};

// ---- the one who tells them ----

const children = [];

const start = () => {
    const child = fork(fileURLToPath(import.meta.url), process.argv.slice(2).concat("--role", "x"),
        { stdio: ["ignore", "ignore", "inherit", "ipc"] });
    const waiting = new Map();
    let next = 0;
    const self = { child, onEvent: () => {} };
    child.on("message", (m) => (m.event ? self.onEvent(m) : waiting.get(m.id)?.(m)));
    self.tell = (command, args = {}) => new Promise((resolve) => {
        const id = ++next;
        waiting.set(id, resolve);
        child.send({ id, command, ...args });
    });
    children.push(child);
    return self;
};

const freePort = () => new Promise((resolve) => {
    const s = net.createServer().listen(0, "127.0.0.1", () => {
        const { port } = s.address();
        s.close(() => resolve(port));
    });
});

// Passes a client's connections on, and counts their bytes both ways.
const proxy = async (port) => {
    const self = { bytes: 0 };
    const server = net.createServer((near) => {
        const far = net.connect(port, "127.0.0.1");
        for (const [from, to] of [[near, far], [far, near]]) {
            from.setNoDelay();
            from.on("data", (data) => {
                self.bytes += data.length;
                to.write(data);
            });
            from.on("close", () => to.destroy());
            from.on("error", () => to.destroy());
        }
    });
    await new Promise((resolve) => { server.listen(0, "127.0.0.1", resolve); });
    self.port = server.address().port;
    self.close = () => server.close();
    return self;
};

// Half a second without a byte.
const quiet = async (pipe) => {
    for (let seen = -1; seen !== pipe.bytes;) {
        seen = pipe.bytes;
        await new Promise((resolve) => { setTimeout(resolve, 500); });
    }
};

const peakMb = async (child) => {
    const text = await readFile(`/proc/${child.pid}/status`, "utf8");
    return Number(/VmHWM:\s+(\d+)/.exec(text)[1]) / 1024;
};

const text = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-+".repeat(2).slice(0, 80);

const within = (promise) => Promise.race([promise,
    new Promise((resolve) => { setTimeout(resolve, Number(options.seconds) * 1000, null); })]);

const live = async ({ a, b }) => {
    const us = [];
    const began = now_us();
    const done = new Promise((resolve) => {
        b.onEvent = (m) => {
            us.push(m.us);
            if (us.length === updates) {
                resolve(true);
            } else {
                a.tell("set", { i: us.length, text });
            }
        };
    });
    await b.tell("watch");
    a.tell("set", { i: 0, text });
    const finished = await within(done) === true;
    const seconds = (now_us() - began) / 1e6;
    us.sort((x, y) => x - y);
    const at = (p) => us[Math.floor(p * (us.length - 1))] / 1000;
    return { updates: us.length, finished, p50_ms: at(0.5), p99_ms: at(0.99),
        updates_per_second: us.length / seconds };
};

const burstCase = async ({ server, a, b }) => {
    const last = new Promise((resolve) => { b.onEvent = (m) => resolve(m.at); });
    await b.tell("watch");
    const told = a.tell("burst", { text });
    const at = await within(last);
    if (at === null) {
        const { size } = await within(b.tell("size")) ?? { size: 0 };
        return { updates, finished: false, arrived: size };
    }
    const { began, ended } = await told;
    const { size } = await b.tell("size");
    const seconds = (at - began) / 1e6;
    return { updates, finished: size >= updates, seconds, updates_per_second: updates / seconds,
        written_seconds: (ended - began) / 1e6, server_peak_mb: await peakMb(server.child) };
};

const reconnect = async ({ server, a, pipe }) => {
    if (await within(a.tell("many").then(() => server.tell("heard", { n: documents }))) === null) {
        return { documents, finished: false };
    }
    await quiet(pipe);
    await a.tell("disconnect");
    await server.tell("forget");
    const before = pipe.bytes;
    const told = await within(a.tell("reconnect"));
    const heard = told && await within(server.tell("heard", { n: documents }));
    if (!heard) {
        return { documents, finished: false };
    }
    const ended = options.system === "automerge-repo" ? heard.at : told.ended;
    await quiet(pipe);
    return { documents, finished: true, seconds: (ended - told.began) / 1e6,
        bytes: pipe.bytes - before };
};

const triangle = async () => {
    const ports = [await freePort(), await freePort(), await freePort()];
    const nodes = [start(), start(), start()];
    await nodes[0].tell("node", { port: ports[0], to: [] });
    await nodes[1].tell("node", { port: ports[1], to: [ports[0]] });
    await nodes[2].tell("node", { port: ports[2], to: [ports[0], ports[1]] });
    const { name } = await nodes[0].tell("open");
    for (const node of nodes.slice(1)) {
        if (await within(node.tell("open", { name })) === null) {
            return { updates, finished: false };
        }
    }
    const last = nodes.slice(1).map((n) => new Promise((resolve) => {
        n.onEvent = (m) => resolve(m.at);
    }));
    await nodes[1].tell("watch");
    await nodes[2].tell("watch");
    const told = nodes[0].tell("burst", { text });
    const at = await within(Promise.all(last));
    if (at === null) {
        return { updates, finished: false };
    }
    const { began } = await told;
    const bytes = await Promise.all(nodes.map((n) => n.tell("sent")));
    const seconds = (Math.max(...at) - began) / 1e6;
    return { updates, finished: true, seconds, updates_per_second: updates / seconds,
        bytes_per_update: bytes.reduce((sum, n) => sum + n.bytes, 0) / updates };
};

const main = async () => {
    const dir = await mkdtemp(`${process.env.TMPDIR ?? tmpdir()}/weir-rivals-`);
    let result;
    if (options.case === "triangle") {
        result = system.node ? await triangle() : { possible: false };
    } else {
        const port = await freePort();
        const server = start();
        await server.tell("server", { port, dir: `${dir}/server` });
        const pipe = options.case === "reconnect" ? await proxy(port) : { port };
        const a = start();
        await a.tell("client", { port: pipe.port });
        const b = start();
        await b.tell("client", { port });
        if (options.case !== "reconnect") {
            const { name } = await a.tell("open");
            await server.tell("heard", { n: 1 });
            await b.tell("open", { name });
        }
        result = await { live, burst: burstCase, reconnect }[options.case]({ server, a, b, pipe });
        pipe.close?.();
    }
    console.log(JSON.stringify({ system: options.system, case: options.case, ...result }));
    children.forEach((c) => c.kill("SIGKILL"));
    await rm(dir, { recursive: true, force: true });
    process.exit(0);
};

await (options.role ? role() : main());
