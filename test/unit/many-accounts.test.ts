// Many service accounts in one namespace, of any names and labels, with entries of others in any lists: whatever the rules are, and
// whatever they become, the entries of others stay as they are.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { maxUnnamedAccounts } from "../../helper/cache/accounts.ts";
import { createAccountMatcher } from "../../helper/shared/account-rules.ts";
import { AccountHelper, AccountServer, merge, type StoredAccount } from "../support/simulated-accounts.ts";
import { exampleOwners } from "../support/owners.ts";

const annotation = "ecr-helper/ecr-helper-test";
const wanted = { secrets: ["ecr-creds"], imagePullSecrets: ["ecr-creds-pull"] };
const lists = ["secrets", "imagePullSecrets"] as const;
type List = (typeof lists)[number];

const rulesOf = (names: string, selector = ""): Record<string, string> => ({
  ECR_HELPER_SERVICE_ACCOUNTS: names,
  ECR_HELPER_SERVICE_ACCOUNT_SELECTOR: selector,
});
const rules = [
  rulesOf("builder-sa"),
  rulesOf("builder-sa,default"),
  rulesOf("ci-1"),
  rulesOf("ci-*"),
  rulesOf("default,ci-?"),
  rulesOf("", "pulls=yes"),
  rulesOf("builder-sa", "pulls!=yes"),
  rulesOf("*"),
];
const names = ["builder-sa", "default", "ci-1", "ci-2", "ci-33", "other"];

/** What a user does. */
type Step =
  | {
      readonly kind: "entry";
      readonly name: string;
      readonly list: List;
      readonly entry: string;
      readonly isFirst: boolean;
    }
  | { readonly kind: "less"; readonly name: string; readonly list: List; readonly entry: string }
  | { readonly kind: "label"; readonly name: string; readonly value: string | null }
  | { readonly kind: "delete"; readonly name: string }
  | { readonly kind: "rules"; readonly index: number };

const anyName = fc.constantFrom(...names);
const anyList = fc.constantFrom(...lists);
const entry = fc.constantFrom("a", "b", "c", "ecr-creds", "ecr-creds-pull");
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant("entry"), name: anyName, list: anyList, entry, isFirst: fc.boolean() }),
  },
  fc.record({ kind: fc.constant("less"), name: anyName, list: anyList, entry }),
  fc.record({ kind: fc.constant("label"), name: anyName, value: fc.constantFrom("yes", "no", null) }),
  fc.record({ kind: fc.constant("delete"), name: anyName }),
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("rules"), index: fc.nat({ max: rules.length - 1 }) }) },
);

/** What users wrote into each list, by NAME/LIST. */
class Theirs {
  readonly #lists = new Map<string, string[]>();

  of(name: string, list: List): readonly string[] {
    return this.#lists.get(`${name}/${list}`) ?? [];
  }

  set(name: string, list: List, entries: readonly string[]): void {
    this.#lists.set(`${name}/${list}`, [...entries]);
  }
}

const namesIn = (account: StoredAccount | undefined, list: List): string[] =>
  (account?.[list] ?? []).map(({ name }) => name);

/** One user's write, at the server and in what is expected. */
function write(server: AccountServer, theirs: Theirs, one: Exclude<Step, { kind: "rules" }>): void {
  const found = server.accounts.get(one.name);
  if (one.kind === "delete") {
    for (const list of lists) theirs.set(one.name, list, []);
    return void server.delete(one.name);
  }
  const account = found ?? { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: one.name } };
  if (one.kind === "label") return void server.put(merge(account, { metadata: { labels: { pulls: one.value } } }));
  const [current, mine] = [namesIn(found, one.list), theirs.of(one.name, one.list)];
  const put = (change: (entries: readonly string[]) => string[]): void => {
    theirs.set(one.name, one.list, change(mine));
    server.put({ ...account, [one.list]: change(current).map((name) => ({ name })) });
  };
  // Two entries of one name are one for Kubernetes.
  if (one.kind === "less" && mine.includes(one.entry)) put((entries) => entries.filter((other) => other !== one.entry));
  if (one.kind === "entry" && !current.includes(one.entry))
    put((entries) => (one.isFirst ? [one.entry, ...entries] : [...entries, one.entry]));
}

/** Each list has what users wrote, in their order, and where it is included what is wanted, once, after that. */
function check(server: AccountServer, theirs: Theirs, { config }: AccountHelper): void {
  const isIncluded = createAccountMatcher(config);
  for (const [name, account] of server.accounts) {
    for (const list of lists) {
      const [found, mine] = [namesIn(account, list), theirs.of(name, list)];
      const missing = isIncluded(name, account.metadata.labels)
        ? wanted[list].filter((one) => !mine.includes(one))
        : [];
      assert.deepEqual([...found].sort(), [...mine, ...missing].sort(), `${name} ${list}`);
      assert.deepEqual(
        found.filter((one) => mine.includes(one)),
        mine,
        `${name} ${list}`,
      );
    }
  }
}

describe("many service accounts", () => {
  it("go with the stack where the helper made them by a name that a pattern has replaced since", async () => {
    const server = new AccountServer();
    const named = { ECR_HELPER_SERVICE_ACCOUNTS: "builder-sa", ECR_HELPER_SERVICE_ACCOUNT_SELECTOR: "" };
    const last = new AccountHelper(server, named);
    await last.reconcile();
    const made = server.accounts.get("builder-sa") ?? assert.fail();
    server.put(merge(made, { metadata: { ownerReferences: exampleOwners(last.config) } }));
    // That helper cleans nothing up: its node is lost.
    const next = new AccountHelper(server, { ...named, ECR_HELPER_SERVICE_ACCOUNTS: "ci-*" });
    await next.reconcile();
    await next.cleanUp("none");
    const { metadata } = server.accounts.get("builder-sa") ?? assert.fail();
    assert.ok((metadata.ownerReferences ?? []).length > 0, "Kubernetes collects it");
  });

  it("never lose, double or move an entry of others, while rules, labels, entries and accounts change", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
        const [server, theirs] = [new AccountServer(), new Theirs()];
        let helper = new AccountHelper(server, rules[0] ?? {});
        for (const one of steps) {
          if (one.kind === "rules") {
            const next = new AccountHelper(server, rules[one.index] ?? {});
            await next.reconcile();
            await helper.cleanUp(next);
            helper = next;
          } else {
            write(server, theirs, one);
          }
          await helper.reconcile();
          check(server, theirs, helper);
          const { length } = server.writes;
          await helper.reconcile();
          assert.equal(server.writes.length, length, "nothing is left to write");
        }
        await helper.cleanUp("none");
        for (const [name, account] of server.accounts) {
          for (const list of lists) assert.deepEqual(namesIn(account, list), theirs.of(name, list));
          assert.equal(account.metadata.annotations?.[annotation], undefined);
        }
      }),
      { numRuns: 300 },
    );
  });

  it("are made by name only, and each is written once", async () => {
    const server = new AccountServer();
    for (const name of ["ci-1", "ci-2", "other"]) server.put({ metadata: { name } });
    const helper = new AccountHelper(server, rulesOf("builder-sa,default,ci-*"));
    await helper.reconcile();
    assert.deepEqual(server.writes, ["apply builder-sa", "PATCH ci-1", "PATCH ci-2"]);
    server.put({ metadata: { name: "ci-3" } });
    server.delete("ci-1");
    await helper.reconcile();
    assert.deepEqual(server.writes.slice(3), ["PATCH ci-3"]);
  });

  it("that an earlier helper made by their names are deleted by that helper, unless they are still included", async () => {
    for (const [now, left] of [
      [rulesOf("ci-*"), []],
      [rulesOf("build*"), ["builder-sa"]],
      [rulesOf("", "team=a"), []],
      [rulesOf("", "pulls=yes"), ["builder-sa"]],
      [rulesOf("", "!team"), ["builder-sa"]],
    ] as const) {
      const server = new AccountServer();
      const last = new AccountHelper(server, rulesOf("builder-sa"));
      await last.reconcile();
      server.put(merge(server.accounts.get("builder-sa"), { metadata: { labels: { pulls: "yes" } } }));
      const next = new AccountHelper(server, now);
      await next.reconcile();
      await last.cleanUp(next);
      assert.deepEqual([...server.accounts.keys()], left, JSON.stringify(now));
      const { labels, ownerReferences = [] } = server.accounts.get("builder-sa")?.metadata ?? {};
      if (left.length > 0) assert.deepEqual([labels, ownerReferences], [{ pulls: "yes" }, []], "it is given back");
    }
  });

  it("cost no request at a rollout with the same rules, and only reads of those that only labels include at one with others", async () => {
    const server = new AccountServer();
    for (const name of ["a", "b"]) server.put({ metadata: { name, labels: { pulls: "yes" } } });
    const last = new AccountHelper(server, rulesOf("", "pulls=yes"));
    await last.reconcile();
    server.writes.length = 0;
    for (const now of [rulesOf("", "pulls=yes"), rulesOf("ci-*", "pulls"), rulesOf("?")])
      await last.cleanUp(new AccountHelper(server, now));
    assert.deepEqual(server.writes, []);
  });

  it("are kept up to a bound, whoever makes how many, and those that are named always", async () => {
    const server = new AccountServer();
    const helper = new AccountHelper(server, rulesOf("builder-sa,ci-*"));
    for (let index = 0; index < 3 * maxUnnamedAccounts; index++) {
      const annotations = index % 2 === 0 ? {} : { [annotation]: "x" };
      server.put({ metadata: { name: `${index % 2 === 0 ? "ci" : "forged"}-${String(index)}`, annotations } });
    }
    assert.equal(helper.cache.accounts.in("team").size, maxUnnamedAccounts + 1);
    assert.match(
      helper.invalid[0] ?? "",
      /service account forged-1001 is one too many: the helper serves 1000 of a namespace/,
    );
    await helper.reconcile();
    assert.ok(helper.cache.exists("team", { kind: "ServiceAccount", name: "builder-sa" }));
    for (const name of [...server.accounts.keys()]) server.delete(name);
    assert.deepEqual([...helper.cache.accounts.namespaces()], [], "nothing is left of a namespace without any");
  });
});
