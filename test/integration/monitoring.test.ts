// The alerting rules and the dashboard, checked by Prometheus' own tool and against the metrics that the helper gives.
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { parse, stringify } from "yaml";
import { readConfig } from "../../helper/config/helper-config.ts";
import { Metrics } from "../../helper/observability/metrics.ts";
import { helperEnvironment } from "../support/helper-environment.ts";
import { installPromtool } from "../local/install.ts";
import { run } from "../local/process.ts";

interface Rule {
  alert: string;
  expr: string;
  labels: { severity: string };
  annotations: { summary: string; description: string };
}
interface RuleTest {
  name: string;
  promql_expr_test: { exp_samples: { labels: string }[] }[];
}
interface Panel {
  title: string;
  datasource: { uid: string };
  targets: { expr: string; legendFormat: string }[];
}

const monitoring = join(import.meta.dirname, "../../infra/monitoring");
const alertsFile = join(monitoring, "alerts.yaml");
const testsFile = join(import.meta.dirname, "alerts.test.yaml");
const readYaml = async (file: string): Promise<unknown> => parse(await readFile(file, "utf8"));

const { groups } = (await readYaml(alertsFile)) as { groups: { rules: Rule[] }[] };
const rules = groups.flatMap((group) => group.rules);
const { tests } = (await readYaml(testsFile)) as { tests: RuleTest[] };
const dashboard = JSON.parse(await readFile(join(monitoring, "dashboard.json"), "utf8")) as {
  uid: string;
  title: string;
  id?: number;
  panels: Panel[];
};
const targets = dashboard.panels.flatMap((panel) => panel.targets);
const exposed = await exposedText();

/** What a helper says that has seen a little of everything. */
async function exposedText(): Promise<string> {
  const theirs = "444455556666.dkr.ecr.eu-west-1.amazonaws.com";
  const role = { roleArn: "arn:aws:iam::444455556666:role/pulls", sessionTags: {}, hosts: [theirs] };
  const config = readConfig({
    ...helperEnvironment,
    ECR_HELPER_REGISTRIES: `${helperEnvironment.ECR_HELPER_REGISTRIES},${theirs}`,
    ECR_HELPER_REGISTRY_ROLES: JSON.stringify([role]),
  });
  const metrics = new Metrics(config, {
    states: () => new Map([["default", "synced"]]),
    isFullySynced: () => true,
    isLeading: () => true,
    missingOwners: () => 0,
  });
  const token = { username: "AWS", password: "p", issuedAt: 0, expiresAt: 43_200_000 };
  metrics.setTokenExpiry(new Map([...config.tokenRequests.keys()].map((name) => [name, token])));
  for (const name of config.tokenRequests.keys()) {
    metrics.countTokenRequest(name, "success");
    metrics.countTokenRequest(name, "failure");
  }
  for (const status of [0, 200, 403, 503]) {
    metrics.countKubeRequest({ method: "GET", path: "/api/v1/namespaces/default/secrets?watch=1" }, status);
  }
  const object = { kind: "Secret", name: "ecr-creds" } as const;
  metrics.applied(object, "created");
  metrics.failed(object, "Forbidden");
  metrics.drifted(object);
  metrics.watchFailed("/api/v1/namespaces/default/secrets?watch=1");
  return (await metrics.text()).body;
}

/** All groups of all matches. */
const matches = (text: string, pattern: RegExp): string[] =>
  [...text.matchAll(pattern)].flatMap(([, ...found]) => found);

/** The samples of the helper that a selector such as `name{label="value"}` selects. */
function selected(name: string, matchers: string): string[] {
  const wanted = [...matchers.matchAll(/(\w+)=~?"([^"]*)"/g)].map(
    ([, label = "", value = ""]) => new RegExp(`[{,]${label}="(?:${value})"`),
  );
  const samples = exposed.split("\n").filter((line) => new RegExp(`^${name}[{ ]`).test(line));
  return samples.filter((sample) => wanted.every((pattern) => pattern.test(sample)));
}

/** Fails where an expression asks for what the helper does not give: a metric, a label, a value. Gives the labels it keeps. */
function checkExpression(expr: string): Set<string> {
  const samples = [...expr.matchAll(/(ecr_helper_\w+|process_resident_memory_bytes)(?:\{([^}]*)\})?/g)].flatMap(
    ([selector, name = "", matchers = ""]) => {
      const found = selected(name, matchers);
      assert.notEqual(found.length, 0, `the helper gives nothing like ${selector}`);
      return found;
    },
  );
  assert.notEqual(samples.length, 0, `nothing of the helper in ${expr}`);
  // Those that Prometheus adds when it scrapes.
  const known = new Set([
    "cluster",
    "namespace",
    "job",
    "instance",
    ...samples.flatMap((one) => matches(one, /(\w+)="/g)),
  ]);
  const grouped = matches(expr, /\b(?:by|on) \(([^)]*)\)/g).flatMap((list) => list.split(", "));
  for (const label of grouped) assert.ok(known.has(label), `no metric in ${expr} has the label ${label}`);
  return new Set(grouped);
}

describe("the monitoring", () => {
  let promtool: string;
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "ecr-helper-monitoring-"));
    promtool = await installPromtool();
  });
  after(async () => rm(folder, { recursive: true }));

  it("exposes metrics that promtool accepts", async () => {
    await run(promtool, ["check", "metrics"], { input: exposed });
  });

  it("has rules that Prometheus accepts", async () => {
    await run(promtool, ["check", "rules", alertsFile]);
  });

  it("has alerts that fire when they should, and at nothing else", async () => {
    await run(promtool, ["test", "rules", testsFile]);
  });

  it("has a test of each alert that sees it fire, and one that does not", () => {
    const seesOf = ({ promql_expr_test }: RuleTest): string[] =>
      promql_expr_test.flatMap(({ exp_samples }) =>
        exp_samples.flatMap(({ labels }) => matches(labels, /alertname="(\w+)",alertstate="firing"/g)),
      );
    const testedAs = (start: string): RuleTest[] => tests.filter(({ name }) => name.startsWith(start));
    for (const { alert } of rules) {
      const [fires, silent] = [testedAs(`${alert} fires `), testedAs(`${alert} is silent `)];
      assert.ok(fires.length > 0 && silent.length > 0, `${alert} is not tested`);
      for (const test of fires) assert.ok(seesOf(test).includes(alert), test.name);
      for (const test of silent) assert.deepEqual(seesOf(test), [], test.name);
    }
  });

  it("has alerts on existing metrics, which say what is wrong and what to do", () => {
    for (const { alert, expr, labels, annotations } of rules) {
      const kept = checkExpression(expr);
      const { summary, description } = annotations;
      for (const label of matches(summary + description, /\$labels\.(\w+)/g)) assert.ok(kept.has(label), alert);
      assert.match(labels.severity, /^(warning|critical)$/);
      assert.match(description, /`kubectl -n ecr-helper /, alert);
    }
  });

  it("has a dashboard that can be loaded into any Grafana", () => {
    assert.ok(dashboard.uid !== "" && dashboard.title !== "");
    assert.equal(dashboard.id, undefined);
    for (const { title, datasource } of dashboard.panels) assert.equal(datasource.uid, "${datasource}", title);
  });

  it("has a dashboard of all metrics of the helper", () => {
    for (const { expr, legendFormat } of targets) {
      const kept = checkExpression(expr);
      for (const label of matches(legendFormat, /\{\{(\w+)\}\}/g)) assert.ok(kept.has(label), `${label} of ${expr}`);
    }
    const shown = targets.map(({ expr }) => expr).join("\n");
    for (const name of matches(exposed, /^# TYPE (\w+)/gm)) assert.ok(shown.includes(name), `${name} is not shown`);
  });

  it("has a dashboard whose expressions are PromQL", async () => {
    const recorded = targets.map(({ expr }, index) => ({
      record: `panel:${String(index)}`,
      expr: expr.replaceAll("$__rate_interval", "5m"),
    }));
    const file = join(folder, "dashboard.yaml");
    await writeFile(file, stringify({ groups: [{ name: "dashboard", rules: recorded }] }));
    await run(promtool, ["check", "rules", file]);
  });
});
