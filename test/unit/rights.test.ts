import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { AwsRequest } from "../local/aws-requests.ts";
import {
  Attachments,
  isDeployer,
  isHelper,
  isRefusedOnPurpose,
  checkPrincipals,
  principalsOf,
} from "../whole-run/aws-rights.ts";
import { checkHelpers, rightsOf, type AuditEvent } from "../whole-run/cluster-rights.ts";

const rules = [{ resources: ["secrets"], resourceNames: ["ecr-creds"], verbs: ["list", "create", "patch", "delete"] }];
const granted = new Set([
  ...rightsOf("build", rules),
  ...rightsOf("own", [{ resources: ["events"], verbs: ["create"] }]),
]);

/** A time, some seconds after noon. */
const at = (seconds: number): string => new Date(Date.UTC(2026, 10, 24, 12, 0, seconds)).toISOString();

const event = (seconds: number, verb: string, object: string, more: Partial<AuditEvent> = {}): AuditEvent => {
  const [namespace = "", resource = "", name = ""] = object.split("/");
  return {
    requestReceivedTimestamp: at(seconds),
    verb,
    requestURI: `/${object}`,
    user: { username: "system:serviceaccount:helper-ns:ecr-helper" },
    objectRef: { resource, ...(namespace === "" ? {} : { namespace }), ...(name === "" ? {} : { name }) },
    responseStatus: { code: 200 },
    annotations: { "authorization.k8s.io/decision": "forbid" },
    ...more,
  };
};
const allowed = (namespace: string): Pick<AuditEvent, "annotations"> => ({
  annotations: {
    "authorization.k8s.io/decision": "allow",
    "authorization.k8s.io/reason": `RBAC: allowed by RoleBinding "one/${namespace}" of Role "one" to ServiceAccount "ecr-helper/helper-ns"`,
  },
});
const admin = { user: { username: "admin" }, ...allowed("") };
const binding = {
  metadata: { name: "one" },
  roleRef: { kind: "Role", name: "one" },
  subjects: [{ name: "ecr-helper", namespace: "helper-ns" }],
};
const role = [
  event(0, "create", "team/roles/", { ...admin, requestObject: { metadata: { name: "one" } } }),
  event(0, "patch", "team/rolebindings/one", { ...admin, requestObject: binding }),
];

describe("the rights that helpers used in a cluster", () => {
  it("are those that a role grants, by the role's scope; an apply that creates an object uses two", () => {
    const { used } = checkHelpers(
      [
        event(1, "list", "team/secrets/ecr-creds", allowed("team")),
        event(1, "patch", "team/secrets/ecr-creds-eu-west-1", { ...allowed("team"), responseStatus: { code: 201 } }),
        event(1, "create", "helper-ns/events/", allowed("helper-ns")),
      ],
      granted,
    );
    assert.deepEqual([...used].sort(), [
      "build: create secrets ecr-creds",
      "build: list secrets ecr-creds",
      "build: patch secrets ecr-creds",
      "own: create events",
    ]);
    assert.deepEqual(
      [...granted].filter((one) => !used.has(one)),
      ["build: delete secrets ecr-creds"],
    );
  });

  it("do not hide the denial of a right that no role grants, whether a role exists or not", () => {
    for (const object of ["team/secrets/other", "team/pods/", "/secrets/ecr-creds"]) {
      for (const before of [role, []]) {
        assert.equal(checkHelpers([...before, event(9, "list", object)], granted).beyond.length, 1, object);
      }
    }
  });

  it("do not hide a denial if the role exists; they do if it is new, deleted, or deleted with its namespace", () => {
    const listing = event(9, "list", "team/secrets/ecr-creds");
    const countsOf = (...events: AuditEvent[]): number[] => {
      const { beyond, denied, withoutRole } = checkHelpers(events, granted);
      return [beyond.length, denied.length, withoutRole.length];
    };
    assert.deepEqual(countsOf(listing, ...role), [0, 1, 0]);
    assert.deepEqual(countsOf(listing), [0, 0, 1]);
    assert.deepEqual(countsOf(...role, { ...listing, requestReceivedTimestamp: at(1) }), [0, 0, 1]);
    assert.deepEqual(countsOf(...role, event(8, "delete", "team/roles/one", admin), listing), [0, 0, 1]);
    assert.deepEqual(countsOf(...role, event(8, "delete", "/namespaces/team", admin), listing), [0, 0, 1]);
    const all = event(8, "deletecollection", "team/rolebindings/", {
      ...admin,
      requestObject: { kind: "DeleteOptions" },
    });
    assert.deepEqual(countsOf(...role, all, listing), [0, 0, 1]);
    const owners = { requestObject: { metadata: { ownerReferences: [] } } };
    const patched = event(8, "patch", "team/rolebindings/one", { ...admin, ...owners });
    assert.deepEqual(countsOf(...role, patched, listing), [0, 1, 0], "its role stays");
    const refused = event(8, "delete", "team/roles/one", { ...admin, responseStatus: { code: 409 } });
    assert.deepEqual(countsOf(...role, refused, listing), [0, 1, 0]);
    assert.deepEqual(countsOf(...role, { ...listing, isOfTest: true }), [0, 0, 1], "that server may just have started");
  });

  it("do not include requests of tests with a helper's token, nor of other clients", () => {
    const tried = event(9, "list", "team/pods/", { requestURI: "/pods?dryRun=All" });
    const other = event(9, "list", "team/pods/", { user: { username: "system:serviceaccount:helper-ns:default" } });
    const { beyond, denied, withoutRole } = checkHelpers([...role, tried, other], granted);
    assert.deepEqual([beyond, denied, withoutRole], [[], [], []]);
  });
});

const request = (seconds: number, action: string, more: Partial<AwsRequest> = {}): AwsRequest => ({
  time: at(seconds),
  action,
  status: 200,
  ...more,
});

describe("the rights that were used in AWS", () => {
  const token = "ecr:GetAuthorizationToken";
  const rootKey = "123456789012";
  const made = [
    request(0, "iam:CreateAccessKey", { key: rootKey, user: "ecr-helper", createdKey: "AKIA1" }),
    request(0, "iam:AttachUserPolicy", { key: rootKey, user: "ecr-helper", policy: "p" }),
    request(0, "sts:AssumeRoleWithWebIdentity", { role: "ecr-helper", createdKey: "ASIA1" }),
    request(0, "iam:CreateAccessKey", { key: rootKey, user: "deployer-a", createdKey: "AKIA2" }),
    request(0, "sts:AssumeRole", { key: rootKey, role: "node", createdKey: "ASIA2" }),
  ];
  const check = (...requests: AwsRequest[]): { used: string[]; beyond: string[]; denied: string[] } => {
    const all = [...made, ...requests];
    const principals = principalsOf(all);
    const attachments = new Attachments(all);
    const { used, ...findings } = checkPrincipals(
      all,
      new Set([token]),
      (one) => {
        const principal = principals.get(one.key ?? "");
        const isChecked = principal !== undefined && isHelper(principal, "node") && !isRefusedOnPurpose(one, principal);
        return isChecked ? principal : undefined;
      },
      (one, principal) => attachments.isInForce(one, principal),
    );
    return { used: [...used], beyond: [...findings.beyond], denied: [...findings.denied] };
  };

  it("are those of helpers only, by user or by role", () => {
    for (const key of ["AKIA1", "ASIA1"]) {
      assert.deepEqual(check(request(9, token, { key })), { used: [token], beyond: [], denied: [] });
    }
    for (const key of ["AKIA2", "ASIA2", rootKey, "210987654321", "unknown"]) {
      assert.deepEqual(check(request(9, "ecr:PutImage", { key })), { used: [], beyond: [], denied: [] });
    }
    assert.ok(isDeployer({ kind: "user", name: "deployer-a" }));
    assert.equal(principalsOf([request(9, "ecr:PutImage", { key: rootKey })]).get(rootKey)?.kind, "root");
  });

  it("include those of their tokens, except for repositories where tests expect a denial", () => {
    const pull = (repository: string): AwsRequest =>
      request(9, "ecr:BatchGetImage", { key: "AKIA1", status: 403, error: "AccessDenied", repository });
    assert.equal(check(pull("arn:aws:ecr:us-east-1:1:repository/app")).beyond.length, 1);
    assert.equal(check(pull("arn:aws:ecr:us-east-1:1:repository/refused-app")).beyond.length, 0);
  });

  it("do not hide a request that the policy does not grant, allowed or not", () => {
    for (const status of [200, 403]) {
      assert.equal(check(request(9, "ecr:PutImage", { key: "AKIA1", status })).beyond.length, 1);
    }
  });

  it("do not hide a denial while the policy is attached; they do before, afterwards, and beside another policy", () => {
    const denied = request(9, token, { key: "AKIA1", status: 403, error: "AccessDeniedException" });
    const root = { key: rootKey, user: "ecr-helper" };
    assert.equal(check(denied).denied.length, 1);
    assert.equal(check({ ...denied, time: at(1) }).denied.length, 0);
    assert.equal(check(request(5, "iam:DetachUserPolicy", root), denied).denied.length, 0);
    assert.equal(check(request(5, "iam:PutUserPolicy", root), denied).denied.length, 0);
    const deleted = [request(5, "iam:PutUserPolicy", root), request(6, "iam:DeleteUserPolicy", root)];
    assert.equal(check(...deleted, denied).denied.length, 1);
  });
});
