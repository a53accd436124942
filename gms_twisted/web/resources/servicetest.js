/** Creates services and sends requests to them. */
import { t } from "../../lib/i18n.js";
import { toast } from "../../lib/ui.js";
import { identity, Parameters, Results, startPage } from "./tester.js";

await startPage();
const byId = (id) => document.getElementById(id);
const id = byId("service-id");
const results = new Results(byId("results"));

/** What each service of the reference wants to know. */
const SAMPLES = {
  "request-interaction": [["_phone_number", "+14155550134"], ["usr_customer_id", "10001"]],
  "match-interaction": [["_access_number", ""], ["_phone_number", "+14155550134"]],
  "request-access": [["_phone_number", "+14155550134"]],
  "request-chat": [["_verbose", "true"]],
  "request-chat-poll": [["_verbose", "true"]],
};
const create = new Parameters(byId("create-parameters"), SAMPLES["request-interaction"]);
const request = new Parameters(byId("request-parameters"), []);
const name = byId("service-name");
name.addEventListener("change", () => {
  if (Object.hasOwn(SAMPLES, name.value)) create.replace(SAMPLES[name.value]);
});

const multipart = () => byId("multipart").checked;
const path = () => byId("request-path").value.trim().split("/").map(encodeURIComponent).join("/");

function needsId() {
  if (id.value.trim()) return true;
  id.focus();
  toast(t("service.no.id"), { kind: "danger", seconds: 4 });
  return false;
}

const actions = {
  create: async () => {
    if (!name.value.trim()) return name.focus();
    const answer = await results.send("POST", `service/${encodeURIComponent(name.value.trim())}`, { fields: create.values(), multipart: multipart(), headers: identity() });
    const made = answer.json?._id ?? answer.json?._service_id;
    if (answer.ok && made) id.value = made;
    return undefined;
  },
  send: () => needsId() && results.send(byId("request-method").value, `service/${encodeURIComponent(id.value.trim())}/${path()}`, { fields: request.values(), multipart: multipart(), headers: identity() }),
  delete: () => needsId() && results.send("DELETE", `service/${encodeURIComponent(id.value.trim())}`, { headers: identity() }),
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
