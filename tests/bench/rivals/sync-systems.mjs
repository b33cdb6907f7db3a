// The rivals of sync.mjs, each as its own documentation sets it up, with storage on the server
// (or nothing would outlive it). A system gives:
//
//   server(port, dir)   in a process of its own; resolves when it listens. What it resolves to
//                       may have heard(n): of so many documents since forget(). Automerge's
//                       server says nothing of a document that is unchanged, so A cannot know
//   client(port)        a client of it: open(name) makes or finds a document and resolves when it
//                       is in step; a document has set(key, value) and onKey(fn(key, value));
//                       disconnect(), and reconnect(), which resolves when all documents are
//                       known to be in step again
//   node(port, to)      where the system has no one server: a node that listens and dials
//
// `name` is what open() of the first client returned, for the others.

import { createRequire } from "node:module";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { WebSocket, WebSocketServer } from "ws";

const require = createRequire(import.meta.url);

const once = (target, event, test = () => true) => new Promise((resolve) => {
    const hear = (value) => {
        if (test(value)) {
            target.off(event, hear);
            resolve(value);
        }
    };
    target.on(event, hear);
});

// ---- y-websocket: its own server, with its LevelDB persistence ----

const yjsDocument = (Y, doc) => {
    const map = doc.getMap("m");
    return {
        set: (key, value) => map.set(key, value),
        size: () => map.size,
        onKey: (fn) => map.observe((e) => e.keysChanged.forEach((key) => fn(key, map.get(key)))),
    };
};

const yWebsocket = {
    async server (port, dir) {
        process.env.HOST = "127.0.0.1";
        process.env.PORT = String(port);
        process.env.YPERSISTENCE = dir;
        const http = require("node:http");
        const listen = http.Server.prototype.listen;
        await new Promise((resolve) => {
            http.Server.prototype.listen = function (...args) {
                this.once("listening", resolve);
                return listen.apply(this, args);
            };
            console.info = console.log = () => {};
            require(fileURLToPath(new URL("node_modules/y-websocket/bin/server.cjs", import.meta.url)));
        });
    },
    async client (port) {
        const Y = await import("yjs");
        const { WebsocketProvider } = await import("y-websocket");
        const providers = [];
        const synced = (p) => (p.synced ? undefined : once(p, "sync", (is) => is));
        return {
            async open (name = "document") {
                const doc = new Y.Doc();
                const provider = new WebsocketProvider(`ws://127.0.0.1:${port}`, name, doc,
                    { WebSocketPolyfill: WebSocket, disableBc: true });
                providers.push(provider);
                await synced(provider);
                return { name, ...yjsDocument(Y, doc) };
            },
            async disconnect () {
                providers.forEach((p) => p.disconnect());
                await Promise.all(providers.map((p) =>
                    p.wsconnected ? once(p, "status", (s) => s.status === "disconnected") : 0));
            },
            async reconnect () {
                providers.forEach((p) => p.connect());
                await Promise.all(providers.map(synced));
            },
        };
    },
};

// ---- hocuspocus: its server, with its Database extension writing files ----

const hocuspocus = {
    async server (port, dir) {
        const { Server } = await import("@hocuspocus/server");
        const { Database } = await import("@hocuspocus/extension-database");
        const path = (name) => `${dir}/${name}`;
        await mkdir(dir, { recursive: true });
        const storage = new Database({
            fetch: ({ documentName }) => readFile(path(documentName)).catch(() => null),
            async store ({ documentName, state }) {
                await writeFile(`${path(documentName)}.new`, state);
                await rename(`${path(documentName)}.new`, path(documentName));
            },
        });
        await new Server({ port, address: "127.0.0.1", quiet: true, extensions: [storage] })
            .listen();
    },
    async client (port) {
        const Y = await import("yjs");
        const { HocuspocusProvider, HocuspocusProviderWebsocket } =
            await import("@hocuspocus/provider");
        const socket = new HocuspocusProviderWebsocket(
            { url: `ws://127.0.0.1:${port}`, WebSocketPolyfill: WebSocket });
        const providers = [];
        const synced = (p) => (p.synced ? undefined : once(p, "synced", (e) => e.state !== false));
        return {
            async open (name = "document") {
                const doc = new Y.Doc();
                const provider = new HocuspocusProvider(
                    { websocketProvider: socket, name, document: doc });
                provider.attach();
                providers.push(provider);
                await synced(provider);
                return { name, ...yjsDocument(Y, doc) };
            },
            async disconnect () {
                const gone = once(socket, "disconnect");
                socket.disconnect();
                await gone;
            },
            async reconnect () {
                const all = Promise.all(providers.map((p) => once(p, "synced")));
                await socket.connect();
                await all;
            },
        };
    },
};

// ---- automerge-repo: a repository with file storage that shares what it is asked for ----

// A string of Automerge 3 is a text of many ops; as a value it is an ImmutableString.
const automergeDocument = (handle, { ImmutableString }) => ({
    name: handle.url,
    set: (key, value) => handle.change((d) => { d[key] = new ImmutableString(value); }),
    size: () => Object.keys(handle.doc()).length,
    onKey: (fn) => handle.on("change", ({ doc, patches }) => {
        new Set(patches.map((p) => p.path[0])).forEach((key) => fn(key, String(doc[key])));
    }),
});

// Whoever is asked before it was told knows nothing of the document.
const find = async (repo, url) => {
    for (;;) {
        try {
            return await repo.find(url, { signal: AbortSignal.timeout(1000) });
        } catch {
            await new Promise((resolve) => { setTimeout(resolve, 100); });
        }
    }
};

const automerge = {
    async server (port, dir) {
        const { Repo } = await import("@automerge/automerge-repo");
        const { WebSocketServerAdapter } =
            await import("@automerge/automerge-repo-network-websocket");
        const { NodeFSStorageAdapter } = await import("@automerge/automerge-repo-storage-nodefs");
        const sockets = new WebSocketServer({ port, host: "127.0.0.1" });
        await once(sockets, "listening");
        const adapter = new WebSocketServerAdapter(sockets);
        const heard = new Set();
        let check = () => {};
        adapter.on("message", ({ documentId }) => {
            heard.add(documentId);
            check();
        });
        new Repo({
            network: [adapter],
            storage: new NodeFSStorageAdapter(dir),
            peerId: "server",
            sharePolicy: async () => false,
        });
        return {
            forget: () => heard.clear(),
            heard: (n) => new Promise((resolve) => {
                check = () => (heard.size >= n ? resolve() : 0);
                check();
            }),
        };
    },
    async client (port) {
        const module = await import("@automerge/automerge-repo");
        const { Repo } = module;
        const { WebSocketClientAdapter } =
            await import("@automerge/automerge-repo-network-websocket");
        const adapter = new WebSocketClientAdapter(`ws://127.0.0.1:${port}`);
        const repo = new Repo({ network: [adapter] });
        await repo.networkSubsystem.whenReady();
        return {
            async open (name) {
                const handle = name?.startsWith("automerge:")
                    ? await find(repo, name) : repo.create({});
                return automergeDocument(handle, module);
            },
            async disconnect () {
                const { socket } = adapter;
                const gone = new Promise((resolve) => socket.addEventListener("close", resolve));
                adapter.disconnect();
                await gone;
            },
            reconnect: async () => adapter.connect(repo.peerId, {}),
        };
    },
    async node (port, to) {
        const module = await import("@automerge/automerge-repo");
        const { Repo } = module;
        const { WebSocketServerAdapter, WebSocketClientAdapter } =
            await import("@automerge/automerge-repo-network-websocket");
        const sockets = new WebSocketServer({ port, host: "127.0.0.1" });
        await once(sockets, "listening");
        const dialled = to.map((p) => new WebSocketClientAdapter(`ws://127.0.0.1:${p}`));
        const connected = dialled.map((adapter) => once(adapter, "peer-candidate"));
        const repo = new Repo({
            network: [new WebSocketServerAdapter(sockets), ...dialled],
            peerId: `node-${port}`,
        });
        await Promise.all(connected);
        return {
            async open (name) {
                const handle = name ? await find(repo, name) : repo.create({});
                return automergeDocument(handle, module);
            },
        };
    },
};

export const systems = { "y-websocket": yWebsocket, hocuspocus, "automerge-repo": automerge };
