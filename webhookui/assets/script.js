"use strict";
// Everything works without this: it shows local times, copies, and keeps pages fresh.
(() => {
  const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  const enhance = (root) => {
    for (const t of root.querySelectorAll("time[datetime]")) {
      const at = new Date(t.dateTime);
      if (!Number.isNaN(at.getTime())) t.textContent = local.format(at);
    }
    for (const b of root.querySelectorAll("button[data-copy]")) {
      const from = document.getElementById(b.dataset.copy);
      if (!from || !navigator.clipboard) continue;
      b.hidden = false;
      b.addEventListener("click", () => navigator.clipboard.writeText(from.textContent).then(() => { b.textContent += " ✓"; b.disabled = true; }));
    }
  };
  enhance(document);

  const region = document.querySelector("[data-refresh]");
  if (!region) return;
  const every = Number(region.dataset.refresh) * 1000;
  const refresh = async () => {
    try {
      const busy = region.contains(document.activeElement) || region.querySelector("details[open]");
      if (!document.hidden && !busy) {
        const response = await fetch(location.href, { credentials: "same-origin" });
        if (!response.ok) return; // somebody logged out, or it is gone: leave what is there
        const page = new DOMParser().parseFromString(await response.text(), "text/html");
        const fresh = page.querySelector("[data-refresh]");
        if (!fresh) return;
        enhance(fresh);
        region.replaceChildren(...fresh.childNodes);
      }
    } catch { /* the network is away: try again later */ }
    setTimeout(refresh, every);
  };
  setTimeout(refresh, every);
})();
