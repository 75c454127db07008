// Checks the requests of all other tests, and therefore runs after them: Node's test runner sorts files by path. It compares the
// requests of helpers and deployers to AWS and API servers with the rights that are granted to them: no right that normal work needs
// is missing, and no unused right is granted. If it runs alone or after a few tests only, there is too little to check, and it fails.
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

/** ECR Public, and a registry whose token a role asks for, in a session with tags. */
const registries = JSON.stringify([
  "public.ecr.aws",
  {
    host: "111122223333.dkr.ecr.us-east-1.amazonaws.com",
    roleArn: "arn:aws:iam::111122223333:role/pulls",
    sessionTags: ["team=a"],
  },
]);

/**
 * The program's resources for build namespaces that are named and may push, and for those that a pattern selects, and for both with
 * service accounts that a pattern selects.
 */
const programs = [
  await runProgram({ kubeconfig, namespace, buildNamespaces: '["team"]', pushRepositories: '["team/*"]' }),
  await runProgram({ kubeconfig, namespace, buildNamespaces: '["team-*"]', registries }),
  await runProgram({ kubeconfig, namespace, buildNamespaces: '["team"]', serviceAccounts: '["builder-sa","ci-*"]' }),
  await runProgram({ kubeconfig, namespace, buildNamespaces: '["team-*"]', serviceAccounts: '["builder-sa","ci-*"]' }),
];

const without = (granted: Iterable<string>, used: ReadonlySet<string>): string[] =>
  [...granted].filter((one) => !used.has(one)).sort();

describe("every request of helpers to API servers in the whole run", () => {
  let events: AuditEvent[];
  let granted: Set<string>;

  before(() => {
    events = auditEvents();
    granted = new Set(programs.flatMap(grantedBy));
    const helpers = new Set(events.map(({ user }) => user.username));
    assert.ok(helpers.size > 20, incompleteRun);
  });

  /** The rights that the roles of a stack grant. */
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

  it("was allowed if a role that grants it existed", (t) => {
    const { beyond, denied, withoutRole } = checkHelpers(events, granted);
    // test/e2e/reconfiguration.test.ts changes the names of the objects; the old helper then has no rights to those that it made.
    const isRenamed = (request: string): boolean => / system:serviceaccount:ch-\w+:ecr-helper /.test(request);
    assert.deepEqual([beyond, denied.filter((request) => !isRenamed(request))], [[], []]);
    const helpers = withoutRole.map((request) => / (\S+:ecr-helper) /.exec(request)?.[1]);
    t.diagnostic(
      `denied without a role: ${String(withoutRole.length)} times, to ${String(new Set(helpers).size)} helpers`,
    );
  });

  it("needs the granted rights: no role grants an unused one", () => {
    assert.deepEqual(without(granted, checkHelpers(events, granted).used), []);
  });
});

/** The actions that a stack's policies allow. */
function actionsOf({ resources }: Program): string[] {
  const policies = resources.filter(({ type }) => type === "aws:iam/policy:Policy");
  return policies.flatMap(({ inputs }) => {
    const { Statement } = JSON.parse(String(inputs["policy"])) as { Statement: { Action: string[] }[] };
    return Statement.flatMap(({ Action }) => Action);
  });
}

describe("every request to AWS in the whole run", () => {
  let requests: AwsRequest[];
  let principals: ReadonlyMap<string, Principal>;
  let attachments: Attachments;

  before(() => {
    const { run, ever } = requestsToAws();
    requests = run;
    principals = principalsOf(ever);
    attachments = new Attachments(ever);
    const names = new Set(run.map(({ key = "" }) => principals.get(key)?.name));
    assert.ok(names.size > 20, incompleteRun);
  });

  it("was sent by a known principal if it was allowed", () => {
    const unknown = requests.filter(({ key, status }) => key !== undefined && status < 400 && !principals.has(key));
    assert.deepEqual(unknown, []);
  });

  it("by helpers and holders of their tokens is granted by the stack's policies, which grant nothing else", () => {
    const granted = new Set(programs.flatMap(actionsOf));
    const helperOf = (request: AwsRequest): Principal | undefined => {
      const principal = principals.get(request.key ?? "");
      if (principal === undefined || !isHelper(principal, nodeRole) || isRefusedOnPurpose(request, principal))
        return undefined;
      return principal;
    };
    const { used, beyond, denied } = checkPrincipals(requests, granted, helperOf, (request, principal) =>
      attachments.isInForce(request, principal),
    );
    assert.deepEqual([beyond, denied], [[], []]);
    assert.deepEqual(without(granted, used), []);
    const refused = requests.filter((one) => {
      const principal = principals.get(one.key ?? "");
      return isRefusedOnPurpose(one, principal) && principal?.kind !== "root";
    });
    assert.ok(refused.length > 0 && refused.every(({ status }) => status === 403), JSON.stringify(refused));
  });

  it("by deployers is granted by infra/deployer-policy.json, which grants nothing else", async () => {
    const granted = new Set((await deployerStatements("any")).flatMap(({ Action }) => Action));
    const deployerOf = (request: AwsRequest): Principal | undefined => {
      const principal = principals.get(request.key ?? "");
      if (principal === undefined || !isDeployer(principal) || isRefusedOnPurpose(request, principal)) return undefined;
      return principal;
    };
    // The deployers of test/faults/stack-rights.test.ts start without any right.
    const hasAll = (_: AwsRequest, { name }: Principal): boolean => !name.startsWith("deployer-fr-");
    const { used, beyond, denied } = checkPrincipals(requests, granted, deployerOf, hasAll);
    assert.deepEqual([beyond, denied], [[], []]);
    assert.deepEqual(
      without(granted, used),
      [...Object.values(usedByProviderOnly).flat(), ...unknownToEmulator].sort(),
    );
  });
});
