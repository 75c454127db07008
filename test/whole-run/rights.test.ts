// Judges the whole run of the tests, which comes before: node's test runner takes files in the order of their names. All that
// helpers and deployers asked AWS and the API servers for is compared with what they may: nothing is denied in normal work,
// and nothing is granted that nobody needs. Alone, or after a few tests, it has too little to judge by and fails.
import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { deployerStatements } from "../support/deployer.ts";
import type { AwsRequest } from "../local/aws-requests.ts";
import { kubeconfig, nodeRole } from "../local/settings.ts";
import { runProgram, type Program } from "../support/program.ts";
import {
  Attachments,
  isDeployer,
  isHelper,
  isRefusedOnPurpose,
  checkPrincipals,
  usedByProviderOnly,
  principalsOf,
  unknownToEmulator,
  type Principal,
} from "./aws-rights.ts";
import { checkHelpers, rightsOf, type AuditEvent } from "./cluster-rights.ts";
import { auditEvents, requestsToAws, incompleteRun } from "./artifacts.ts";

const namespace = "ecr-helper";

/** The program's resources where build namespaces are named and push, and where they push, and where they are meant by a pattern. */
const programs = [
  await runProgram({ kubeconfig, namespace, buildNamespaces: '["team"]', pushRepositories: '["team/*"]' }),
  await runProgram({ kubeconfig, namespace, buildNamespaces: '["team-*"]' }),
];

const without = (granted: Iterable<string>, used: ReadonlySet<string>): string[] =>
  [...granted].filter((one) => !used.has(one)).sort();

describe("what helpers asked API servers for in the whole run", () => {
  let events: AuditEvent[];
  let granted: Set<string>;

  before(() => {
    events = auditEvents();
    granted = new Set(programs.flatMap(grantedBy));
    const helpers = new Set(events.map(({ user }) => user.username));
    assert.ok(helpers.size > 20, incompleteRun);
  });

  /** What the roles of a stack give. */
  const grantedBy = ({ resources }: Program): string[] =>
    resources
      .filter(({ type }) => /:(Cluster)?Role$/.test(type) && type.startsWith("kubernetes:rbac"))
      .flatMap(({ type, inputs }) => {
        const { metadata, rules } = inputs as unknown as {
          metadata: { namespace?: string };
          rules: Parameters<typeof rightsOf>[1];
        };
        if (type.endsWith(":ClusterRole")) return rightsOf("everywhere", rules);
        return rightsOf(metadata.namespace === namespace ? "own" : "build", rules);
      });

  it("was granted wherever the role existed", (t) => {
    const { beyond, denied, withoutRole } = checkHelpers(events, granted);
    // Those of test/e2e/reconfiguration.test.ts are given other names, and the one that ends has no right to its own any more.
    const isRenamed = (told: string): boolean => / system:serviceaccount:ch-\w+:ecr-helper /.test(told);
    assert.deepEqual([beyond, denied.filter((told) => !isRenamed(told))], [[], []]);
    const where = withoutRole.map((told) => / (\S+:ecr-helper) /.exec(told)?.[1]);
    t.diagnostic(
      `denied without a role: ${String(withoutRole.length)} times, to ${String(new Set(where).size)} helpers`,
    );
  });

  it("is all that the roles grant", () => {
    assert.deepEqual(without(granted, checkHelpers(events, granted).used), []);
  });
});

/** What a stack's policies allow. */
function actionsOf({ resources }: Program): string[] {
  const policies = resources.filter(({ type }) => type === "aws:iam/policy:Policy");
  return policies.flatMap(({ inputs }) => {
    const { Statement } = JSON.parse(String(inputs["policy"])) as { Statement: { Action: string[] }[] };
    return Statement.flatMap(({ Action }) => Action);
  });
}

describe("what was asked of AWS in the whole run", () => {
  let requests: AwsRequest[];
  let principals: ReadonlyMap<string, Principal>;
  let attachments: Attachments;

  before(() => {
    const { run, ever } = requestsToAws();
    requests = run;
    principals = principalsOf(ever);
    attachments = new Attachments(ever);
    const asked = new Set(run.map(({ key = "" }) => principals.get(key)?.name));
    assert.ok(asked.size > 20, incompleteRun);
  });

  it("was sent by a known principal wherever it was allowed", () => {
    const strangers = requests.filter(({ key, status }) => key !== undefined && status < 400 && !principals.has(key));
    assert.deepEqual(strangers, []);
  });

  it("is exactly what the stack's policies grant, as far as helpers and holders of their tokens sent it", () => {
    const granted = new Set(programs.flatMap(actionsOf));
    const helperOf = (request: AwsRequest): Principal | undefined => {
      const principal = principals.get(request.key ?? "");
      if (principal === undefined || !isHelper(principal, nodeRole) || isRefusedOnPurpose(request)) return undefined;
      return principal;
    };
    const { used, beyond, denied } = checkPrincipals(requests, granted, helperOf, (request, principal) =>
      attachments.isInForce(request, principal),
    );
    assert.deepEqual([beyond, denied], [[], []]);
    assert.deepEqual(without(granted, used), []);
    const onPurpose = requests.filter(
      (one) => isRefusedOnPurpose(one) && principals.get(one.key ?? "")?.kind !== "root",
    );
    assert.ok(onPurpose.length > 0 && onPurpose.every(({ status }) => status === 403), JSON.stringify(onPurpose));
  });

  it("is exactly what infra/deployer-policy.json grants, as far as deployers sent it", async () => {
    const granted = new Set((await deployerStatements("any")).flatMap(({ Action }) => Action));
    const deployerOf = (request: AwsRequest): Principal | undefined => {
      const principal = principals.get(request.key ?? "");
      if (principal === undefined || !isDeployer(principal) || isRefusedOnPurpose(request)) return undefined;
      return principal;
    };
    // Those of test/faults/stack-rights.test.ts begin without any right.
    const hasAll = (_: AwsRequest, { name }: Principal): boolean => !name.startsWith("deployer-fr-");
    const { used, beyond, denied } = checkPrincipals(requests, granted, deployerOf, hasAll);
    assert.deepEqual([beyond, denied], [[], []]);
    assert.deepEqual(
      without(granted, used),
      [...Object.values(usedByProviderOnly).flat(), ...unknownToEmulator].sort(),
    );
  });
});
