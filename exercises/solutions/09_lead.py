"""09.lead: a solution."""


def lead(model, average):
    leads = model - average
    return leads.mean(), leads.std(ddof=1) / len(leads) ** 0.5
