// Deletion of a user's data, after a confirmation.

import * as api from "./api.js";
import { announce, h } from "./dom.js";
import { t } from "./texts.js";

export function confirmDeletion(name, done) {
  const wrong = h("p", { class: "notice", role: "alert", hidden: true });
  const yes = h("button", { type: "button", class: "button danger", onclick: async () => {
    yes.disabled = true;
    try {
      await api.forget(name);
      dialog.close();
      announce(t("forgotten", { name }));
      done();
    } catch (error) {
      yes.disabled = false;
      wrong.hidden = false;
      wrong.textContent = error.message || t("e_unreachable");
    }
  } }, t("forgetYes"));
  const dialog = h("dialog", { "aria-labelledby": "forget-title", onclose: () => dialog.remove() },
    h("h2", { id: "forget-title" }, t("forgetTitle", { name })), h("p", {}, t("forgetText")), wrong,
    h("div", { class: "buttons" }, h("button", { type: "button", class: "button", autofocus: true, onclick: () => dialog.close() }, t("forgetNo")), yes));
  document.body.append(dialog);
  dialog.showModal();
}
