/**
 * Tries the Service API: create with parameters and files, requests to a service, update, delete.
 * The samples are those of the API reference; what an answer gives (an id, an access number) goes
 * into the next sample that needs it.
 */
import { fill, h } from "../../lib/dom.js";
import { t } from "../../lib/i18n.js";
import { toast } from "../../lib/ui.js";
import { CREATES, learn, REQUESTS, sampleOf } from "./services.js";
import { Files, identity, Parameters, Results, startPage } from "./tester.js";

await startPage();
const byId = (id) => document.getElementById(id);
const id = byId("service-id");
const name = byId("service-name");
const path = byId("request-path");
const results = new Results(byId("results"));
const known = {};

const create = new Parameters(byId("create-parameters"), sampleOf(CREATES, name.value, known));
const createFiles = new Files(byId("create-files"));
const request = new Parameters(byId("request-parameters"), sampleOf(REQUESTS, path.value, known));
const requestFiles = new Files(byId("request-files"));

fill(byId("services"), Object.keys(CREATES).map((each) => h("option", { value: each })));
fill(byId("requests"), Object.keys(REQUESTS).map((each) => h("option", { value: each })));
for (const body of [byId("create-body"), byId("request-body")]) {
  fill(body, ["form", "multipart", "json", "query"].map((kind) => h("option", { value: kind }, t(`service.body.${kind}`))));
}

/** Say what is special, and put the sample in. */
function choose(list, word, parameters, hint) {
  hint.textContent = list[word]?.hint ? t(list[word].hint) : "";
  const sample = sampleOf(list, word, known);
  if (sample.length || Object.hasOwn(list, word)) parameters.replace(sample);
}
name.addEventListener("change", () => choose(CREATES, name.value.trim(), create, byId("service-hint")));
path.addEventListener("change", () => choose(REQUESTS, path.value.trim(), request, byId("request-hint")));
choose(CREATES, name.value, create, byId("service-hint"));
choose(REQUESTS, path.value, request, byId("request-hint"));

const encoded = (text) => text.trim().split("/").map(encodeURIComponent).join("/");

function needsId() {
  if (id.value.trim()) return true;
  id.focus();
  toast(t("service.no.id"), { kind: "danger", seconds: 4 });
  return false;
}

const actions = {
  create: async () => {
    if (!name.value.trim()) return name.focus();
    const answer = await results.send("POST", `service/${encoded(name.value)}`, { fields: create.values(), files: createFiles.values(), body: byId("create-body").value, headers: identity() });
    if (!answer.ok) return undefined;
    learn(known, answer.json, create.values());
    if (known.id) id.value = known.id;
    return undefined;
  },
  send: async () => {
    if (!needsId()) return;
    const [method, files] = [byId("request-method").value, requestFiles.values()];
    if (method === "GET" && files.length) {
      toast(t("service.get.files"), { kind: "danger", seconds: 4 });
      return;
    }
    const answer = await results.send(method, `service/${encoded(id.value)}/${encoded(path.value)}`, { fields: request.values(), files, body: byId("request-body").value, headers: identity() });
    if (answer.ok) learn(known, answer.json, []);
  },
  delete: () => needsId() && results.send("DELETE", `service/${encoded(id.value)}`, { headers: identity() }),
};
for (const [which, action] of Object.entries(actions)) {
  byId(which).addEventListener("click", async (event) => {
    event.currentTarget.disabled = true;
    try {
      await action();
    } finally {
      byId(which).disabled = false;
    }
  });
}
