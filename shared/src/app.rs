//! Argo CD's declarations: Application, cluster Secret, repository addresses.
