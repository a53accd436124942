/** Tries every operation of the Storage API. */
import { t } from "../../lib/i18n.js";
import { toast } from "../../lib/ui.js";
import { identity, Parameters, Results, startPage } from "./tester.js";

await startPage();
const byId = (id) => document.getElementById(id);
const parameters = new Parameters(byId("parameters"), [["a", "Value1"], ["b", "Value2"], ["c", "Value3"]]);
const results = new Results(byId("results"));
const id = byId("storage-id");

function fields() {
  const chosen = byId("file").files[0];
  return {
    fields: parameters.values(),
    files: chosen ? [{ name: byId("file-key").value.trim() || "file", file: chosen }] : [],
    headers: identity(),
  };
}

const ttl = () => encodeURIComponent(byId("ttl").value.trim());
const area = () => encodeURIComponent(id.value.trim());
const key = () => encodeURIComponent(byId("key").value.trim());

/** Operations on an area need one. */
function needs(...inputs) {
  const missing = inputs.find((input) => !input.value.trim());
  if (!missing) return true;
  missing.focus();
  toast(t(missing === id ? "storage.no.id" : "storage.no.key"), { kind: "danger", seconds: 4 });
  return false;
}

const actions = {
  create: async () => {
    const answer = await results.send("POST", `storage/${ttl()}`, fields());
    if (answer.ok && answer.json?.id) id.value = answer.json.id;
  },
  update: () => needs(id) && results.send("POST", `storage/${area()}/${ttl()}`, fields()),
  query: () => needs(id) && results.send("GET", `storage/${area()}`, { headers: identity() }),
  "query-key": () => needs(id, byId("key")) && results.send("GET", `storage/${area()}/${key()}`, { headers: identity() }),
  binary: () => needs(id, byId("key")) && results.send("GET", `storage/binary/${area()}/${key()}`, { headers: identity() }),
  delete: () => needs(id) && results.send("DELETE", `storage/${area()}`, { headers: identity() }),
};
for (const [name, action] of Object.entries(actions)) {
  byId(name).addEventListener("click", async (event) => {
    event.currentTarget.disabled = true;
    try {
      await action();
    } finally {
      byId(name).disabled = false;
    }
  });
}
