import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ForeignObjectError } from "../../helper/controller/terminal-errors.ts";
import { readConfig } from "../../helper/config/helper-config.ts";
import { fieldManager, ownMetadata, type Metadata } from "../../helper/shared/ownership.ts";
import { KubeError } from "../../helper/kube/errors.ts";
import { formatRef } from "../../helper/kube/object-ref.ts";
import { fieldsOf } from "../../helper/resources/managed-fields.ts";
import { ClusterCache } from "../../helper/cache/cluster-cache.ts";
import type { KubeObject, PartialObjectMetadata } from "../../helper/kube/types.ts";
import { Controller, type ControllerDependencies } from "../../helper/controller/controller.ts";
import type { SyncState } from "../../helper/cache/informers.ts";
import {
  newServiceAccount,
  noEntries,
  type Entries,
  type ServiceAccount,
} from "../../helper/resources/service-account.ts";
import { helperEnvironment } from "../support/helper-environment.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const minute = 60_000;
const call = { method: "PATCH", path: "/x" } as const;
const refusal = (status: number, reason = ""): KubeError => new KubeError(call, status, JSON.stringify({ reason }));

/** A controller over a cluster that the test makes up: its writes are done at once, and seen at once. */
function simulate(env: Record<string, string> = {}, refuse: (write: string) => Error | undefined = () => undefined) {
  const config = readConfig({ ...helperEnvironment, ECR_HELPER_BUILD_NAMESPACES: "a,b", ...env });
  const clock = new VirtualClock("2026-11-23T00:00:00Z");
  const over = new AbortController();
  const writes: string[] = [];
  const lines: string[] = [];
  const warned: string[] = [];
  const drifted: string[] = [];
  let version = 0;
  let knowledge: (namespace: string) => SyncState = () => "known";
  const observed: ClusterCache = new ClusterCache(
    config,
    (namespace) => controller.enqueue(namespace, true),
    (namespace, error) => assert.fail(`${namespace}: ${String(error)}`),
  );
  const sinkOf = (resource: string, namespace: string) => {
    const found = observed.watchTargets.find(
      (one) => one.path.includes(resource) && (one.namespace ?? namespace) === namespace,
    );
    assert.ok(found, `${resource} in ${namespace} is followed`);
    return found.sink;
  };

  /** An own secret as the API server shows it after an apply, or after somebody else changed it. */
  const ownSecret = (namespace: string, metadata: Metadata, by?: string): PartialObjectMetadata => {
    const data = { username: "", password: "", ".dockerconfigjson": "" };
    const fieldsV1 = by === undefined ? fieldsOf({ metadata, apiVersion: "v1", kind: "Secret", type: "", data }) : {};
    const managedFields = [
      { manager: fieldManager, operation: "Apply", fieldsV1 },
      ...(by === undefined ? [] : [{ manager: by }]),
    ];
    return {
      metadata: {
        ...metadata,
        namespace,
        uid: `${namespace}/${metadata.name}`,
        resourceVersion: String(++version),
        managedFields,
      },
    };
  };
  const written = new Map<string, Metadata>();

  const attempt = (write: string): void => {
    writes.push(`${String((clock.now() - Date.parse("2026-11-23T00:00:00Z")) / 1000)} ${write}`);
    const error = refuse(write);
    if (error !== undefined) throw error;
  };
  const account = (namespace: string, entries: Entries): ServiceAccount & KubeObject => {
    const made = newServiceAccount(config, entries);
    return { ...made, metadata: { ...made.metadata, namespace, uid: namespace, resourceVersion: String(++version) } };
  };
  const writer: ControllerDependencies["writer"] = {
    applySecret: async (namespace, { name, body }, seen) => {
      attempt(`apply ${name} in ${namespace}`);
      if (seen?.isOwned === false) throw new ForeignObjectError("theirs");
      const { metadata } = JSON.parse(body.toString()) as { metadata: Metadata };
      written.set(`${namespace}/${name}`, metadata);
      sinkOf(`%3D${name}`, namespace).set(ownSecret(namespace, metadata));
      return Promise.resolve(seen === undefined ? "created" : "configured");
    },
    removeSecret: async (namespace, name) => {
      attempt(`remove ${name} in ${namespace}`);
      sinkOf(`%3D${name}`, namespace).delete({
        metadata: { name, namespace, uid: "", resourceVersion: String(++version) },
      });
      return Promise.resolve("removed");
    },
    applyAccount: async (namespace, entries) => {
      attempt(`apply builder-sa in ${namespace}`);
      sinkOf("serviceaccounts", namespace).set(account(namespace, entries));
      return Promise.resolve("created");
    },
    releaseAccount: async (namespace) => {
      attempt(`release builder-sa in ${namespace}`);
      sinkOf("serviceaccounts", namespace).delete({
        metadata: { name: "", namespace, uid: "", resourceVersion: String(++version) },
      });
      return Promise.resolve("removed");
    },
  };
  const controller: Controller = new Controller(
    config,
    observed,
    (namespace) => knowledge(namespace),
    {
      writer,
      warn: (namespace, object, reason) => void warned.push(`${reason} ${namespace}/${formatRef(object)}`),
      log: (level, message) => void lines.push(`${level} ${message}`),
      metrics: {
        applied: () => undefined,
        failed: () => undefined,
        drifted: (object) => void drifted.push(formatRef(object)),
      },
      clock,
      random: () => 0,
      concurrency: () => 32,
    },
    over.signal,
  );
  let count = 0;
  return {
    writes,
    lines,
    warned,
    drifted,
    clock,
    controller,
    stop: () => over.abort(),
    setKnowledge: (next: typeof knowledge) => (knowledge = next),
    newToken: async () => {
      const token = {
        username: "AWS",
        password: `password ${String(++count)}`,
        issuedAt: clock.now(),
        expiresAt: clock.now() + 720 * minute,
      };
      controller.refresh(new Map([["eu-west-1", token]]));
      await clock.advance(0);
    },
    /** Somebody else does something to a secret. */
    change: async (namespace: string, name: string, how: "deleted" | "changed" | "theirs") => {
      const metadata = written.get(`${namespace}/${name}`) ?? { name };
      const deleted = { metadata: { name, namespace, uid: "", resourceVersion: String(++version) } };
      if (how === "deleted") sinkOf(`%3D${name}`, namespace).delete(deleted);
      else
        sinkOf(`%3D${name}`, namespace).set(
          ownSecret(namespace, how === "theirs" ? { name } : metadata, "kubectl-edit"),
        );
      await clock.advance(0);
    },
    /** Somebody makes a secret with the helper's labels. */
    ownIn: async (namespace: string, name: string) => {
      sinkOf(`%3D${name}`, namespace).set(ownSecret(namespace, ownMetadata(config, name), "replicator"));
      await clock.advance(0);
    },
    /** Another helper of the same stack applies a secret, with a token it asked for at this time. */
    otherHelper: async (namespace: string, name: string, refreshedAt: string) => {
      const { annotations, ...metadata } = written.get(`${namespace}/${name}`) ?? { name };
      const theirs = { "ecr-helper/refreshed-at": refreshedAt, "ecr-helper/revision": "another" };
      sinkOf(`%3D${name}`, namespace).set(
        ownSecret(namespace, { ...metadata, annotations: { ...annotations, ...theirs } }),
      );
      await clock.advance(0);
    },
    /** The helper's Deployment is seen, with these variables of its pods. */
    deployment: async (variables: Record<string, string>) => {
      const metadata = {
        name: "ecr-helper",
        namespace: config.namespace,
        uid: "d",
        resourceVersion: String(++version),
      };
      const all = { ...helperEnvironment, ECR_HELPER_BUILD_NAMESPACES: "a,b", ...variables };
      const containers = [{ env: Object.entries(all).map(([name, value]) => ({ name, value })) }];
      const deployment = { metadata, spec: { template: { spec: { containers } } } };
      sinkOf("deployments", config.namespace).set(deployment);
      await clock.advance(0);
    },
    /** A service account is seen with these entries, which a helper added; `lost` are no more in its lists. */
    accountWith: async (namespace: string, entries: Entries, lost: readonly string[] = []) => {
      const { secrets = [], ...made } = account(namespace, entries);
      const left = secrets.filter(({ name }) => !lost.includes(name));
      sinkOf("serviceaccounts", namespace).set({ ...made, secrets: left } as ServiceAccount & KubeObject);
      await clock.advance(0);
    },
    loseEntries: async (namespace: string) => {
      sinkOf("serviceaccounts", namespace).set(account(namespace, noEntries));
      await clock.advance(0);
    },
    namespace: async (
      name: string,
      labels: Record<string, string> = {},
      deletionTimestamp?: string,
      uid: string = name,
    ) => {
      const metadata = {
        name,
        uid,
        resourceVersion: String(++version),
        labels,
        ...(deletionTimestamp !== undefined && { deletionTimestamp }),
      };
      sinkOf("/namespaces", name).set({ metadata });
      await clock.advance(0);
    },
  };
}

const ofOne = (namespace: string): string[] =>
  ["ecr-creds", "ecr-creds-pull", "builder-sa"].map((name) => `0 apply ${name} in ${namespace}`);

describe("the controller", () => {
  it("writes every namespace's objects when there is a token, the service account last, and its own pull secret", async () => {
    const { writes, newToken, controller } = simulate();
    await newToken();
    for (const namespace of ["a", "b"]) {
      assert.deepEqual(
        writes.filter((write) => write.endsWith(` ${namespace}`)),
        ofOne(namespace),
      );
    }
    assert.deepEqual(
      writes.filter((write) => write.endsWith(" ecr-helper")),
      ["0 apply ecr-creds-pull in ecr-helper"],
    );
    assert.deepEqual([...controller.states().values()], ["synced", "synced", "synced"]);
  });

  it("logs the origin's lines", async () => {
    const { lines, newToken } = simulate({ ECR_HELPER_BUILD_NAMESPACES: "ecr-helper" });
    await newToken();
    assert.deepEqual(lines, [
      "info secret/ecr-creds configured in namespace ecr-helper",
      "info secret/ecr-creds-pull configured in namespace ecr-helper",
      "info serviceaccount/builder-sa configured in namespace ecr-helper",
      "info the secret will expire at Mon Nov 23 12:00:00 UTC 2026.",
    ]);
  });

  it("writes the secrets again with a new token, and nothing else", async () => {
    const { writes, newToken } = simulate({ ECR_HELPER_BUILD_NAMESPACES: "a" });
    await newToken();
    writes.length = 0;
    await newToken();
    assert.deepEqual(writes.sort(), [
      "0 apply ecr-creds in a",
      "0 apply ecr-creds-pull in a",
      "0 apply ecr-creds-pull in ecr-helper",
    ]);
  });

  it("decides nothing about a namespace that it does not know yet, and says when one cannot be read", async () => {
    const { writes, newToken, controller, setKnowledge, clock } = simulate();
    setKnowledge((namespace) => (namespace === "a" ? "unknown" : namespace === "b" ? "unreadable" : "known"));
    await newToken();
    assert.deepEqual(writes, ["0 apply ecr-creds-pull in ecr-helper"]);
    assert.deepEqual(Object.fromEntries(controller.states()), { a: "pending", b: "failing", "ecr-helper": "synced" });
    setKnowledge(() => "known");
    controller.enqueue("a", false);
    await clock.advance(0);
    assert.equal(controller.states().get("a"), "synced");
  });
});

describe("what somebody else did", () => {
  for (const how of ["deleted", "changed"] as const) {
    it(`is put back at once: a secret that was ${how}`, async () => {
      const { writes, newToken, change, lines, drifted } = simulate();
      await newToken();
      writes.length = 0;
      await change("a", "ecr-creds", how);
      assert.deepEqual(writes, ["0 apply ecr-creds in a"]);
      assert.deepEqual(drifted, ["secret/ecr-creds"]);
      const word = how === "deleted" ? "was deleted" : "was changed by kubectl-edit";
      assert.ok(lines.includes(`warn secret/ecr-creds in namespace a ${word}; it was put back`), lines.join("\n"));
    });
  }

  it("is put back at once: a service account that lost its entries", async () => {
    const { writes, newToken, loseEntries } = simulate();
    await newToken();
    writes.length = 0;
    await loseEntries("a");
    assert.deepEqual(writes, ["0 apply builder-sa in a"]);
  });

  it("is put back more and more slowly where they do it again at once, which is told once", async () => {
    const { writes, newToken, change, clock, warned, stop } = simulate();
    await newToken();
    writes.length = 0;
    for (let second = 0; second < 3600; second++) {
      await change("a", "ecr-creds", "changed");
      await clock.advance(1_000);
    }
    stop();
    assert.ok(writes.length > 15 && writes.length < 40, String(writes.length));
    const times = writes.map((write) => Number(write.split(" ")[0]));
    assert.ok(times.at(-1) !== undefined && (times.at(-1) ?? 0) - (times.at(-2) ?? 0) >= 150);
    assert.deepEqual(warned, ["Contested a/secret/ecr-creds"]);
  });

  it("is forgotten when they left it alone for long: the next time it is put back at once", async () => {
    const { writes, newToken, change, clock } = simulate();
    await newToken();
    for (let times = 0; times < 5; times++) {
      await change("a", "ecr-creds", "changed");
      await clock.advance(10_000);
    }
    await clock.advance(20 * minute);
    writes.length = 0;
    await change("a", "ecr-creds", "changed");
    assert.equal(writes.length, 1);
    await clock.advance(minute);
    await change("a", "ecr-creds", "changed");
    assert.equal(writes.length, 2);
  });

  it("stays when it is a newer login by another helper of this stack, and goes when it is an older one", async () => {
    const { writes, newToken, otherHelper } = simulate();
    await newToken();
    writes.length = 0;
    await otherHelper("a", "ecr-creds", "2026-11-23T00:00:01.000Z");
    assert.equal(writes.length, 0, "or two helpers would overwrite each other for ever");
    await otherHelper("a", "ecr-creds", "2026-11-22T23:59:59.000Z");
    assert.deepEqual(writes, ["0 apply ecr-creds in a"]);
    await otherHelper("a", "ecr-creds", "2027-01-01T00:00:00.000Z");
    writes.length = 0;
    await newToken();
    assert.ok(writes.includes("0 apply ecr-creds in a"), "whatever that helper's clock says: it may be gone");
  });

  it("stays when they made the secret: an error and an Event say so once, and nothing is tried until it goes", async () => {
    const { writes, newToken, change, clock, warned, lines, controller } = simulate();
    await change("a", "ecr-creds", "theirs");
    await newToken();
    await clock.advance(60 * minute);
    assert.deepEqual(new Set(writes.filter((write) => write.endsWith("ecr-creds in a"))), new Set([ofOne("a")[0]]));
    assert.deepEqual(warned, ["ForeignObject a/secret/ecr-creds"]);
    assert.equal(lines.filter((line) => line === "error secret/ecr-creds failed in namespace a: theirs").length, 1);
    assert.equal(controller.states().get("a"), "failing");
    assert.equal(controller.states().get("b"), "synced");
    await change("a", "ecr-creds", "deleted");
    assert.equal(controller.states().get("a"), "synced");
  });

  it("is met more and more slowly where they make one and delete it again and again, in few words", async () => {
    const { writes, newToken, change, clock, warned, lines, controller } = simulate();
    await newToken();
    writes.length = lines.length = 0;
    for (let count = 0; count < 300; count++) {
      await change("a", "ecr-creds", "theirs");
      await change("a", "ecr-creds", "deleted");
      await clock.advance(18);
    }
    assert.ok(writes.length <= 12, String(writes.length));
    assert.ok(warned.length <= 6 && lines.length <= 30, `${String(warned.length)} ${String(lines.length)}`);
    assert.equal(controller.states().get("b"), "synced");
    await clock.advance(10 * minute);
    assert.equal(controller.states().get("a"), "synced", "it is right in the end");
  });
});

describe("a helper whose Deployment makes another one", () => {
  const rolling = { ECR_HELPER_LOG_LEVEL: "debug" };

  it("leaves the secrets that the other one wrote, and writes its own at the next token: the other may never be ready", async () => {
    const { writes, newToken, otherHelper, deployment } = simulate();
    await deployment({});
    await newToken();
    await deployment(rolling);
    writes.length = 0;
    await otherHelper("a", "ecr-creds", "2026-11-22T23:59:59.000Z");
    assert.equal(writes.length, 0);
    await newToken();
    assert.ok(writes.some((write) => write === "0 apply ecr-creds in a"));
    writes.length = 0;
    await deployment({});
    await otherHelper("a", "ecr-creds", "2026-11-22T23:59:59.000Z");
    assert.deepEqual(writes, ["0 apply ecr-creds in a"], "the rollout was undone");
  });

  it("leaves the entries that the other one made, and puts back what somebody else took away", async () => {
    const { writes, newToken, accountWith, deployment } = simulate();
    await deployment({});
    await newToken();
    await deployment(rolling);
    writes.length = 0;
    const entries = { secrets: ["ecr-creds", "ecr-creds-us-east-1"], imagePullSecrets: ["ecr-creds-pull"] };
    await accountWith("a", entries);
    assert.deepEqual(writes, []);
    await accountWith("a", entries, ["ecr-creds"]);
    assert.deepEqual(writes, ["0 apply builder-sa in a"]);
  });

  it("takes back at once what the other one will not keep, and makes it again where the rollout is undone", async () => {
    const { writes, newToken, deployment, controller } = simulate();
    await deployment({});
    await newToken();
    writes.length = 0;
    await deployment({ ECR_HELPER_BUILD_NAMESPACES: "a" });
    assert.deepEqual(writes, ["0 remove ecr-creds in b", "0 remove ecr-creds-pull in b", "0 release builder-sa in b"]);
    assert.deepEqual([...controller.states().keys()].sort(), ["a", "ecr-helper"]);
    writes.length = 0;
    await deployment({});
    assert.deepEqual(writes, ofOne("b"));
  });

  it("takes nothing back where the other one decides by itself, or is of a kind that it does not understand", async () => {
    for (const namespaces of ["a*", "?"]) {
      const { writes, newToken, deployment } = simulate();
      await deployment({});
      await newToken();
      writes.length = 0;
      await deployment({ ECR_HELPER_BUILD_NAMESPACES: namespaces });
      await deployment({ ECR_HELPER_BUILD_NAMESPACES: "a", ECR_HELPER_IDENTITY: "of-a-later-version" });
      assert.deepEqual(writes, []);
    }
  });
});

describe("a failure", () => {
  it("is tried again sooner and sooner less, at least once a minute, and holds up nothing else", async () => {
    let refused = true;
    const isRefused = (write: string): boolean => refused && write === "apply ecr-creds in a";
    const { writes, newToken, clock, controller, warned, lines } = simulate({}, (write) =>
      isRefused(write) ? refusal(422, "Invalid") : undefined,
    );
    await newToken();
    assert.equal(controller.states().get("b"), "synced");
    await clock.advance(10 * minute);
    const times = writes
      .filter((write) => write.endsWith("apply ecr-creds in a"))
      .map((write) => Number(write.split(" ")[0]));
    assert.deepEqual(times.slice(0, 5), [0, 0.5, 1.5, 3.5, 7.5]);
    assert.ok(times.slice(1).every((time, index) => time - (times[index] ?? 0) <= 60));
    assert.equal(writes.filter((write) => write.endsWith("pull in a")).length, 1, "what did not fail is not repeated");
    assert.deepEqual(warned, ["ApplyFailed a/secret/ecr-creds"]);
    assert.equal(lines.filter((line) => line.startsWith("error")).length, 1, "the log does not repeat itself");
    refused = false;
    await clock.advance(minute);
    assert.equal(controller.states().get("a"), "synced");
  });

  it("of the object itself is tried again soon, however long the API server was unwell before", async () => {
    const since = Date.parse("2026-11-23T00:00:00Z");
    const { writes, newToken, clock } = simulate({}, (write) => {
      if (write !== "apply ecr-creds in a") return undefined;
      return clock.now() < since + minute ? refusal(503) : refusal(404, "NotFound");
    });
    await newToken();
    await clock.advance(2 * minute);
    const times = writes.filter((write) => write.endsWith("creds in a")).map((write) => Number(write.split(" ")[0]));
    const [first = 0, ...next] = times.filter((time) => time >= 60);
    assert.deepEqual(
      next.slice(0, 3).map((time) => time - first),
      [0.5, 1.5, 3.5],
    );
  });

  it("because somebody else wrote first, or with the namespace's end, is no alarm", async () => {
    let count = 0;
    const { newToken, lines, warned, clock } = simulate({}, (write) => {
      if (write.endsWith("creds in a") && count++ < 2) return refusal(409, "Conflict");
      return write.endsWith("creds in b") ? refusal(403, "NamespaceTerminating") : undefined;
    });
    await newToken();
    await clock.advance(5_000);
    assert.deepEqual(
      lines.filter((line) => line.startsWith("error")),
      [],
    );
    assert.deepEqual(warned, []);
  });

  it("of the helper itself is told, and the namespace's turn comes again", async () => {
    const { newToken, lines, controller, clock, setKnowledge } = simulate();
    setKnowledge((namespace) => {
      if (namespace === "a" && clock.now() < Date.parse("2026-11-23T00:00:30Z")) throw new TypeError("a mistake");
      return "known";
    });
    await newToken();
    assert.ok(
      lines.some((line) => line.startsWith("error the work on namespace a ended half-way: TypeError: a mistake")),
    );
    assert.equal(controller.states().get("a"), "failing");
    assert.equal(controller.states().get("b"), "synced");
    await clock.advance(2 * minute);
    assert.equal(controller.states().get("a"), "synced");
  });
});

describe("namespaces meant by pattern or selector", () => {
  const env = {
    ECR_HELPER_BUILD_NAMESPACES: "team-*",
    ECR_HELPER_NAMESPACE_SELECTOR: "builds=yes",
    ECR_HELPER_EXCLUDE_NAMESPACES: "*-x",
  };

  it("get their objects when they appear, and when their labels come to match", async () => {
    const { writes, newToken, namespace } = simulate(env);
    await newToken();
    for (const name of ["ecr-helper", "team-a", "team-x", "other"]) await namespace(name);
    assert.deepEqual(new Set(writes.map((write) => write.split(" ").at(-1))), new Set(["ecr-helper", "team-a"]));
    await namespace("other", { builds: "yes" });
    assert.deepEqual(writes.slice(-3), ofOne("other"));
  });

  it("lose the helper's objects when their labels match no more", async () => {
    const { writes, newToken, namespace, controller } = simulate(env);
    await newToken();
    await namespace("other", { builds: "yes" });
    writes.length = 0;
    await namespace("other", { builds: "no" });
    assert.deepEqual(writes, [
      "0 remove ecr-creds in other",
      "0 remove ecr-creds-pull in other",
      "0 release builder-sa in other",
    ]);
    assert.equal(controller.states().has("other"), false);
  });

  it("that are not meant are cleared more and more slowly of what somebody labels as the helper's again and again", async () => {
    const { writes, newToken, namespace, ownIn, clock } = simulate(env);
    await newToken();
    await namespace("other");
    writes.length = 0;
    for (let count = 0; count < 300; count++) {
      await ownIn("other", "ecr-creds");
      await clock.advance(18);
    }
    assert.ok(writes.length <= 8, String(writes.length));
    await clock.advance(10 * minute);
    assert.equal(writes.at(-1)?.split(" ").slice(1).join(" "), "remove ecr-creds in other", "in the end it is cleared");
  });

  it("begin with a clean slate where one of the same name has taken the place of another, even unseen", async () => {
    let isThere = false;
    const { writes, newToken, namespace, clock, drifted } = simulate(env, (write) =>
      isThere || !write.endsWith("team-a") ? undefined : refusal(404, "NotFound"),
    );
    await newToken();
    await namespace("team-a");
    await clock.advance(5 * minute);
    isThere = true;
    writes.length = 0;
    await namespace("team-a", {}, undefined, "another");
    assert.deepEqual(
      writes.map((write) => write.split(" ").slice(1).join(" ")),
      ofOne("team-a").map((write) => write.slice(2)),
    );
    assert.deepEqual(drifted, []);
  });

  it("are left alone while they end", async () => {
    const { writes, newToken, namespace, change, controller } = simulate(env);
    await newToken();
    await namespace("team-a");
    writes.length = 0;
    await namespace("team-a", {}, "2026-11-23T00:00:00Z");
    for (const name of ["ecr-creds", "ecr-creds-pull"]) await change("team-a", name, "deleted");
    assert.deepEqual(writes, []);
    assert.equal(controller.states().has("team-a"), false);
    await namespace("team-a");
    assert.equal(controller.states().get("team-a"), "synced");
  });
});
