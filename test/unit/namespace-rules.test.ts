import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  createMatcher,
  isDynamic,
  matchesGlob,
  staticNamespaces,
  parseSelector,
  type NamespaceRules,
} from "../../helper/shared/namespace-rules.ts";

const namespaces = "default team team-a team-b team-ab team-a-dev other-a a kube-dns".split(" ");
/** The namespaces that each pattern matches, by hand. */
const matchedBy: Record<string, string> = {
  default: "default",
  "team-a": "team-a",
  "team-*": "team-a team-b team-ab team-a-dev",
  "team-?": "team-a team-b",
  "*-a": "team-a other-a",
  "*-a*": "team-a team-ab team-a-dev other-a",
  "?": "a",
  "*": namespaces.join(" "),
  "kube-*": "kube-dns",
};
const rules = (over: Partial<NamespaceRules>): NamespaceRules => ({
  buildNamespaces: [],
  excludeNamespaces: [],
  namespaceSelector: "",
  namespace: "ecr-helper",
  ...over,
});
const included = (over: Partial<NamespaceRules>): string[] => {
  const matches = createMatcher(rules(over));
  return namespaces.filter((name) => matches(name, {}));
};

describe("build namespaces", () => {
  it("include those of the cluster and the helper's own by their exact names only", () => {
    const system = ["kube-system", "kube-public", "kube-node-lease", "ecr-helper"];
    const byRule = createMatcher(rules({ buildNamespaces: ["*", "kube-*"], namespaceSelector: "builds" }));
    for (const name of system) {
      assert.equal(byRule(name, { builds: "yes" }), false);
      assert.equal(createMatcher(rules({ buildNamespaces: [name] }))(name, {}), true);
      assert.equal(createMatcher(rules({ buildNamespaces: ["team-*", name] }))(name, {}), true);
      assert.equal(createMatcher(rules({ buildNamespaces: [name], excludeNamespaces: [name] }))(name, {}), false);
    }
    assert.equal(byRule("kube-dns", {}), true);
  });

  const patterns = Object.keys(matchedBy);
  const subsets = patterns.reduce<string[][]>((all, one) => [...all, ...all.map((set) => [...set, one])], [[]]);
  const union = (set: readonly string[]): Set<string> =>
    new Set(set.flatMap((one) => (matchedBy[one] ?? "").split(" ")));

  it(`are those that each of ${String(subsets.length)} sets of overlapping patterns matches, once each`, () => {
    for (const set of subsets) {
      const wanted = union(set);
      assert.deepEqual(
        included({ buildNamespaces: set }),
        namespaces.filter((name) => wanted.has(name)),
        set.join(" "),
      );
    }
  });

  it("are not those that any set of patterns excludes", () => {
    for (const excludeNamespaces of subsets) {
      const unwanted = union(excludeNamespaces);
      assert.deepEqual(
        included({ buildNamespaces: ["*", "team-a"], excludeNamespaces, namespaceSelector: "!x" }),
        namespaces.filter((name) => !unwanted.has(name)),
        excludeNamespaces.join(" "),
      );
    }
  });

  it("are also those that a selector matches", () => {
    const matches = createMatcher(rules({ buildNamespaces: ["a"], namespaceSelector: "team=red" }));
    assert.ok(matches("a", {}) && matches("b", { team: "red" }));
    assert.ok(!matches("b", { team: "blue" }) && !matches("b", {}));
  });

  it("are static unless there is a pattern or a selector", () => {
    const named = rules({ buildNamespaces: ["a", "b", "a"], excludeNamespaces: ["b*"] });
    assert.equal(isDynamic(named), false);
    assert.deepEqual(staticNamespaces(named), ["a"]);
    assert.equal(isDynamic(rules({ buildNamespaces: ["a", "b?"] })), true);
    assert.equal(isDynamic(rules({ namespaceSelector: "x" })), true);
  });
});

describe("a pattern", () => {
  it("matches what the regular expression with the same wildcards matches", () => {
    const letters = fc.array(fc.constantFrom("a", "b", "-", "*", "?"), { maxLength: 8 }).map((all) => all.join(""));
    const names = fc.array(fc.constantFrom("a", "b", "-"), { maxLength: 8 }).map((all) => all.join(""));
    fc.assert(
      fc.property(letters, names, (glob, name) => {
        const model = new RegExp(`^${glob.replaceAll("*", ".*").replaceAll("?", ".")}$`);
        assert.equal(matchesGlob(glob, name), model.test(name));
      }),
      { numRuns: 2_000 },
    );
  });

  it("is fast with many wildcards, where a regular expression would backtrack exponentially", () => {
    assert.equal(matchesGlob(`${"*a".repeat(30)}b`, "a".repeat(63)), false);
  });
});

describe("a label selector", () => {
  for (const [selector, matching, others] of [
    ["team", [{ team: "" }, { team: "a" }], [{}, { other: "a" }]],
    ["!team", [{}, { other: "a" }], [{ team: "a" }]],
    ["team=a", [{ team: "a" }], [{}, { team: "b" }]],
    [" team == a ", [{ team: "a" }], [{}, { team: "b" }]],
    ["team=", [{ team: "" }], [{ team: "a" }, {}]],
    ["team!=a", [{}, { team: "b" }], [{ team: "a" }]],
    ["team in (a, b)", [{ team: "a" }, { team: "b" }], [{}, { team: "c" }]],
    ["team notin (a,b)", [{}, { team: "c" }], [{ team: "a" }, { team: "b" }]],
    ["team in (a,)", [{ team: "a" }, { team: "" }], [{}, { team: "b" }]],
    ["level>3", [{ level: "4" }], [{ level: "3" }, { level: "x" }, {}]],
    ["level<3", [{ level: "-1" }], [{ level: "3" }, {}]],
    ["example.com/team=a,!x,y in (1,2)", [{ "example.com/team": "a", y: "2" }], [{ "example.com/team": "a", y: "3" }]],
  ] as [string, Record<string, string>[], Record<string, string>[]][]) {
    it(`${JSON.stringify(selector)} matches what it matches in kubectl`, () => {
      const matches = parseSelector(selector);
      for (const labels of matching) assert.ok(matches(labels), JSON.stringify(labels));
      for (const labels of others) assert.ok(!matches(labels), JSON.stringify(labels));
    });
  }

  for (const wrong of ["", "a,", "=a", "a b", "a=b=c", "a in b", "a in (b", "a>b", "-a", "a=-", "a in (b c)", "!a=b"]) {
    it(`${JSON.stringify(wrong)} is rejected with an error that quotes the wrong requirement`, () => {
      assert.throws(() => parseSelector(wrong), /^Error: ".*" is none of KEY, !KEY, /);
    });
  }
});
