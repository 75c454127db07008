// The forms in which other tools read the login to a registry from a secret.
import { dockerConfigKey, dockerConfigType } from "../../helper/shared/docker-config.ts";
import { basicAuthType, opaque, type SecretDefinition } from "../../helper/shared/secret-definition.ts";

/** What a form sets in a definition. */
export interface Form extends Pick<SecretDefinition, "type" | "labels" | "annotations" | "data" | "login"> {
  /** Whether the tool reads the URL of a registry, to which a repository may be added. */
  readonly hasUrl: boolean;
}

const form = (data: Form["data"], more: Partial<Form> = {}): Form => ({
  type: opaque,
  labels: {},
  annotations: {},
  login: "pull",
  hasUrl: false,
  data,
  ...more,
});

const login = { username: "${username}", password: "${password}" };
const dockerConfig = { "config.json": "${dockerconfig}" };

/** Where the URL is that a repository is added to. */
export const urlField = "url";

/**
 * Argo CD's secrets for Helm charts in OCI registries, whose URL has no scheme:
 * https://argo-cd.readthedocs.io/en/stable/operator-manual/declarative-setup/#repositories. It takes the login of a repository
 * from the secret of that URL, or from the repo-creds with the longest URL that its own begins with.
 */
const argoCd = (secretType: string, name: Form["data"]): Form =>
  form(
    { ...name, [urlField]: "${host}", type: "helm", enableOCI: "true", ...login },
    { labels: { "argocd.argoproj.io/secret-type": secretType }, hasUrl: true },
  );

/** The forms by their names; `name` is the secret's. */
export const formsFor = (name: string): Readonly<Record<string, Form>> => ({
  "argocd-repository": argoCd("repository", { name }),
  "argocd-repo-creds": argoCd("repo-creds", {}),
  // `credentials: secret:NAMESPACE/NAME#creds`:
  // https://argocd-image-updater.readthedocs.io/en/stable/basics/authentication/#using-a-generic-secret
  "argocd-image-updater": form({ creds: "${username}:${password}" }),
  // The secretRef of OCIRepository, ImageRepository, and HelmRepository of type oci:
  // https://fluxcd.io/flux/components/source/ocirepositories/#secret-reference
  flux: form({ [dockerConfigKey]: "${dockerconfig}" }, { type: dockerConfigType }),
  // https://jenkinsci.github.io/kubernetes-credentials-provider-plugin/examples/
  jenkins: form(login, { labels: { "jenkins.io/credentials-type": "usernamePassword" }, login: "push" }),
  // https://github.com/buildpacks-community/kpack/blob/main/docs/secrets.md
  kpack: form(login, { type: basicAuthType, annotations: { "kpack.io/docker": "${host}" }, login: "push" }),
  // Mounted as /kaniko/.docker: https://github.com/GoogleContainerTools/kaniko#pushing-to-docker-hub
  kaniko: form(dockerConfig, { login: "push" }),
  // Mounted in a folder that DOCKER_CONFIG names: https://github.com/moby/buildkit/tree/master/examples/kubernetes
  buildkit: form(dockerConfig, { login: "push" }),
});

/** The names of the forms. */
export const formNames: readonly string[] = Object.keys(formsFor(""));
