// Runs before the first paint, so that a chosen theme does not flash.
try {
  const choice = JSON.parse(localStorage.getItem("gms.theme"));
  if (choice === "light" || choice === "dark") document.documentElement.dataset.theme = choice;
} catch {
  // No storage or nonsense in it: the device's setting counts.
}
