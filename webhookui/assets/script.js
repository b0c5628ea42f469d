"use strict";
// Everything works without this: it shows local times, copies, and keeps pages fresh.
(() => {
  const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  const precise = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  const enhance = (root) => {
    for (const t of root.querySelectorAll("time[datetime]")) {
      const at = new Date(t.dateTime);
      if (!Number.isNaN(at.getTime())) t.textContent = ("seconds" in t.dataset ? precise : local).format(at);
    }
    for (const b of root.querySelectorAll("button[data-copy]")) {
      const from = document.getElementById(b.dataset.copy);
      if (!from || !navigator.clipboard) continue;
      b.hidden = false;
      b.addEventListener("click", () => navigator.clipboard.writeText(from.textContent).then(() => { b.textContent += " ✓"; b.disabled = true; }));
    }
  };
  enhance(document);
  const parse = async (response) => new DOMParser().parseFromString(await response.text(), "text/html");

  // What takes several steps goes on by itself once somebody has begun it, and not because
  // a page of it was opened.
  document.addEventListener("submit", async (event) => {
    let form = event.target;
    const progress = form.closest("[data-progress]");
    if (!("steps" in form.dataset) || !progress) return;
    event.preventDefault();
    try {
      while (form) {
        const body = new URLSearchParams(new FormData(form));
        form.querySelector("button").disabled = true;
        const response = await fetch(form.action, { method: "POST", body, credentials: "same-origin" });
        if (!response.ok) break;
        const page = await parse(response);
        const fresh = page.querySelector("[data-progress]");
        if (!fresh) return location.assign(response.url); // the last step leads elsewhere
        const stop = document.querySelector("[data-stop]"), next = page.querySelector("[data-stop]");
        stop.setAttribute("href", next.getAttribute("href"));
        stop.textContent = next.textContent;
        history.replaceState(null, "", response.url);
        progress.replaceChildren(...fresh.childNodes);
        form = progress.querySelector("form[data-steps]");
      }
    } catch { /* the network is away: the button tries again */ }
    form = progress.querySelector("form[data-steps]");
    if (!form) return;
    delete form.dataset.steps; // and shows what is wrong
    form.querySelector("button").disabled = false;
  });

  const region = document.querySelector("[data-refresh]");
  if (!region) return;
  const busy = () => region.contains(document.activeElement) || region.querySelector("details[open]");
  const refresh = async () => {
    try {
      if (!document.hidden && !busy()) {
        const response = await fetch(location.href, { credentials: "same-origin" });
        if (!response.ok) return; // somebody logged out, or it is gone: leave what is there
        const fresh = (await parse(response)).querySelector("[data-refresh]");
        if (!fresh) return;
        if (!busy()) { // somebody may have begun meanwhile
          enhance(fresh);
          region.replaceChildren(...fresh.childNodes);
        }
      }
    } catch { /* the network is away: try again later */ }
    later();
  };
  const later = () => {
    const soon = region.querySelector("[data-refresh-in]"); // something goes on that one can watch
    setTimeout(refresh, Number(soon ? soon.dataset.refreshIn : region.dataset.refresh) * 1000);
  };
  later();
})();
