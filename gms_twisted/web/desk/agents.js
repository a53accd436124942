/** Who may work at the desk: for operators. */
import { fill, h, icon, iconButton } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { cleanName, initials } from "../lib/text.js";
import { copyText, dialog, emptyState, errorState, field, skeleton, toast } from "../lib/ui.js";

/** @param {import("./desk.js").Desk} desk */
export function showAgents(desk) {
  if (desk.me.agent.role !== "operator") {
    return dialog(t("agents.title"), () => [emptyState("lock", t("no.permission.title"), t("no.permission.text"))]);
  }
  const list = h("div.agents", {}, skeleton(4));
  const made = h("div.agent-link-place", { role: "status" });
  const load = async () => {
    try {
      const { agents } = await desk.call({ do: "agents" });
      fill(list, h("ul", {}, agents.map((agent) => row(agent))));
    } catch (error) {
      fill(list, errorState(desk.words(error), load));
    }
  };
  const showLink = (name, link) => {
    const address = new URL(link, location.href).href;
    const input = h("input.mono", { id: "agent-link", type: "text", value: address });
    input.readOnly = true;
    input.addEventListener("focus", () => input.select());
    fill(made, h("div.agent-link", {}, h("label", { for: "agent-link" }, t("agents.link", { name })),
      h("div.agent-link-row", {}, input, h("button", { type: "button", onclick: () => copyText(address) }, icon("copy"), t("copy"))),
      h("p.small.muted", {}, t("agents.link.hint"))));
    made.scrollIntoView({ block: "nearest" });
  };
  const row = (agent) => {
    const name = cleanName(agent.display_name) || agent.name;
    const self = agent.name === desk.me.agent.name;
    return h("li.agent-row", { class: agent.enabled ? "" : "disabled" },
      h("span.avatar.agent", { aria: { hidden: "true" } }, initials(name)),
      h("div.agent-text", {}, h("bdi.one-line", {}, name), h("span.small.muted.one-line", {}, `${agent.name} \u00b7 ${t(`role.${agent.role}`)}`)),
      ["ringing", "busy"].includes(agent.voice) && h("span.chip.green", {}, icon("phone", "small"), t(`agent.voice.${agent.voice}`)),
      h("span.chip", { class: agent.enabled && agent.state === "ready" ? "green" : "" }, t(agent.enabled ? `agent.${agent.state}` : "agent.disabled")),
      agent.enabled && iconButton("key", t("agents.new.link", { name }), async () => {
        try {
          showLink(name, (await desk.call({ do: "agent_link", name: agent.name })).link);
        } catch (error) {
          desk.failed(error);
        }
      }),
      !self && h("button.small", {
        type: "button",
        onclick: async (event) => {
          event.currentTarget.disabled = true;
          try {
            await desk.call({ do: "agent_enable", name: agent.name, enabled: !agent.enabled });
          } catch (error) {
            desk.failed(error);
          }
          await load();
        },
      }, t(agent.enabled ? "agents.disable" : "agents.enable")));
  };
  void load();
  return dialog(t("agents.title"), () => [list, made, addForm(desk, async (name, link) => {
    showLink(name, link);
    await load();
  })], "wide");
}

function addForm(desk, done) {
  const name = h("input", { id: "agent-name", type: "text", required: true, pattern: "[a-z0-9][a-z0-9._\\-]{0,63}", maxlength: 64, autocapitalize: "none", spellcheck: "false", autocomplete: "off" });
  const display = h("input", { id: "agent-display", type: "text", required: true, maxlength: 64, autocomplete: "off" });
  const role = h("select", { id: "agent-role" }, ["agent", "operator"].map((word) => h("option", { value: word }, t(`role.${word}`))));
  const nameField = field(t("login.name"), name, t("claim.name.hint"));
  return h("form.agent-add", {
    onsubmit: async (event) => {
      event.preventDefault();
      const button = event.currentTarget.querySelector("button");
      nameField.setError("");
      button.disabled = true;
      try {
        const { link } = await desk.call({ do: "agent_add", name: name.value.trim(), display_name: display.value.trim(), role: role.value });
        await done(display.value.trim(), link);
        name.value = display.value = "";
        toast(t("agents.added"), { kind: "success" });
      } catch (error) {
        nameField.setError(desk.words(error));
      } finally {
        button.disabled = false;
      }
    },
  }, h("h3", {}, t("agents.add")),
  h("div.agent-add-fields", {}, field(t("claim.display"), display), nameField, field(t("role"), role)),
  h("button.primary", { type: "submit" }, icon("plus"), t("agents.add")));
}
